"""Columns of several tables as those of one: types in common, other names, fewer columns."""
