"""Pieces of sources: named, so that other processes can read them."""
