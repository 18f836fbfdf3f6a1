"""Rows in, committed shards out."""
