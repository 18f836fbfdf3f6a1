"""Rows in, committed shards out.

`stage.ImageWriterStage.process` shows the whole line, from a batch to its shards; `publish.Dataset`
is the life of a dataset, whoever writes its shards. Others use these two, `writer`, `options`,
`file_group`, `plan`, `shard`, `resume`, `metadata`, `sources` and, where many processes write one
dataset, `distributed`. Imports `errors`, `_core`, `_images`, `_format`, `_storage` and `_dataset`.
"""
