"""Megatron Energon: its own index and ours are the same, and its loader reads over ours."""
