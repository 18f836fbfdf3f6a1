"""Object stores: S3, GCS, Azure and what speaks like them, by way of obstore.

The only folder that imports obstore, which comes with the extra ``cloud``; `open.open_storage`
loads it when a place is a URL. ``docs/explanation/durability.md`` has the protocol.
"""
