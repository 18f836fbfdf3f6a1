"""One dataset, written by processes of one machine: the bytes that one process would write.

Workers read, check and encode (`tasks.EncodeRows`), and write whole shards (`tasks.WriteShard`).
Which rows each shard holds is decided by the process that asked them, batch by batch and in order
(`line`), so that bad rows, errors and limits count as with one.
"""
