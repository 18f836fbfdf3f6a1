"""Rows packed into full shards across batches, and the shards written."""
