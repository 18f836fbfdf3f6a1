"""Arrow tables of images in; tar shards with Parquet sidecars out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from arrowimg import errors
from arrowimg._version import __version__

if TYPE_CHECKING:
    from arrowimg._damage import Damage, DamageKind, Report
    from arrowimg._garbage import Garbage, collect_garbage
    from arrowimg._image_options import JpegOptions, PixelOptions
    from arrowimg._index import export_index
    from arrowimg._options import WriteOptions
    from arrowimg._stage import ImageWriterStage, ProcessingStage
    from arrowimg._tasks import FileGroupTask, ImageBatch
    from arrowimg._verify import verify
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
    "export_index",
    "verify",
    "write_shards",
]

_MODULES = {
    "_damage": ("Damage", "DamageKind", "Report"),
    "_garbage": ("Garbage", "collect_garbage"),
    "_image_options": ("JpegOptions", "PixelOptions"),
    "_index": ("export_index",),
    "_options": ("WriteOptions",),
    "_stage": ("ImageWriterStage", "ProcessingStage"),
    "_tasks": ("FileGroupTask", "ImageBatch"),
    "_verify": ("verify",),
    "_writer": ("ShardWriter", "write_shards"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def _load(name: str) -> object:
    # PyArrow, OpenCV and NumPy take a fifth of a second, which `arrowimg --help` does not need.
    if name not in _MODULE_OF:
        message = f"module 'arrowimg' has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(importlib.import_module(f"arrowimg.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:
    # A type checker would take any name for one of ours.
    __getattr__ = _load


def __dir__() -> list[str]:
    return __all__
