"""Where the files are: transactions, locks, byte ranges; one family of modules per backend.

The only room that opens, links, syncs, lists or maps a file of a dataset. Others use
`open.open_storage`, the protocols and values of `base`, `ranges.read_pictures` and
`commit.retry_once`. Imports `errors` and `_core`.
"""
