"""Ray Data: the same shards from many workers, exactly once. The one door to Ray.

Any worker may die at any moment and its task run again: what it wrote is named by the content of
its batch, so that the second attempt finds it. The manifest is made of what the successful attempts
returned, never of what is in the folder.
"""

from __future__ import annotations

from arrowimg.errors import MissingDependencyError

try:
    import ray.data  # noqa: F401  # said here once, in our own words
except ImportError as error:
    feature, extra = "arrowimg.ray", "ray"
    raise MissingDependencyError(feature, extra) from error

from arrowimg.ray._full_shards import write_shards
from arrowimg.ray._map_batches import BatchWriter, task_memory, write_batch
from arrowimg.ray._sink import ShardSink, publish_manifest

__all__ = [
    "BatchWriter",
    "ShardSink",
    "publish_manifest",
    "task_memory",
    "write_batch",
    "write_shards",
]
