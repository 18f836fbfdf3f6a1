"""Indexes of a dataset for other tools."""
