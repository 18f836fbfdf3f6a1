"""Arrow tables of images in; tar shards with Parquet sidecars out."""

from __future__ import annotations

from arrowimg import errors
from arrowimg._damage import Damage, DamageKind, Report
from arrowimg._garbage import Garbage, collect_garbage
from arrowimg._image_options import JpegOptions, PixelOptions
from arrowimg._options import WriteOptions
from arrowimg._stage import ImageWriterStage, ProcessingStage
from arrowimg._tasks import FileGroupTask, ImageBatch
from arrowimg._verify import verify
from arrowimg._version import __version__
from arrowimg._writer import ShardWriter, write_shards

__all__ = [
    "Damage",
    "DamageKind",
    "FileGroupTask",
    "Garbage",
    "ImageBatch",
    "ImageWriterStage",
    "JpegOptions",
    "PixelOptions",
    "ProcessingStage",
    "Report",
    "ShardWriter",
    "WriteOptions",
    "__version__",
    "collect_garbage",
    "errors",
    "verify",
    "write_shards",
]
