"""Copies of datasets: other shards, fewer rows, more columns."""
