"""The work of one dataset, done by many workers, whatever brings them together.

A worker knows one batch (`tasks`, `worker_metadata`), or writes encoded rows that other workers
join to shards (`spools`); whoever asked them publishes what they wrote (`collect`).
"""
