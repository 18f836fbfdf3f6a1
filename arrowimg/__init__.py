"""Arrow tables of images in; tar shards with Parquet sidecars out."""

from __future__ import annotations

from arrowimg import errors
from arrowimg._options import JpegOptions, PixelOptions, WriteOptions
from arrowimg._stage import ImageWriterStage, ProcessingStage
from arrowimg._tasks import FileGroupTask, ImageBatch
from arrowimg._version import __version__
from arrowimg._writer import ShardWriter, write_shards

__all__ = [
    "FileGroupTask",
    "ImageBatch",
    "ImageWriterStage",
    "JpegOptions",
    "PixelOptions",
    "ProcessingStage",
    "ShardWriter",
    "WriteOptions",
    "__version__",
    "errors",
    "write_shards",
]
