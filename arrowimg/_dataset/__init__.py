"""A dataset that is there: scan, fetch, verify, tidy up.

`folder` says which shards a place holds, `sidecars` opens their records, whoever reads them, and
`row_checks` says which rows are believed; `tar_checks` compares tars for `verify`. Each
of `scan`, `fetch`, `batches`, `verify`, `garbage` and `inspect` is one public operation; `index`
writes what other tools read. Others also use `duplicates`. Imports `errors`, `_core`, `_images`,
`_format` and `_storage`.
"""
