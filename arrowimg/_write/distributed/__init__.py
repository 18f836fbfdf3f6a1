"""The work of one dataset, shared by many workers."""
