"""Copies of datasets: other shards, fewer rows, more columns; no picture is decoded.

Others use `reshard.reshard`, `reshard.merge` and `options`. Imports `errors`, `_core`, `_images`,
`_format`, `_storage`, `_dataset` and `_write`.
"""
