"""Indexes of a dataset for other tools: one module for each tool, and its name in `formats`.

Others use `export.export_index`, and `formats` for the names of the files that indexes are.
"""
