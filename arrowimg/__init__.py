"""Arrow tables of images in; tar shards with Parquet sidecars out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from arrowimg import errors
from arrowimg._core.frames.late_imports import load_after
from arrowimg._core.version import __version__

if TYPE_CHECKING:
    from arrowimg._core.task import ProcessingStage
    from arrowimg._dataset.adopt.adopt import adopt
    from arrowimg._dataset.adopt.report import Adoption
    from arrowimg._dataset.batches import read_batches
    from arrowimg._dataset.fetch import fetch_images
    from arrowimg._dataset.garbage import Garbage, collect_garbage
    from arrowimg._dataset.index.export import export_index
    from arrowimg._dataset.report import Damage, DamageKind, Report
    from arrowimg._dataset.scan import scan
    from arrowimg._dataset.verify import verify
    from arrowimg._dataset.view.show import show
    from arrowimg._dataset.view.view import Page, view
    from arrowimg._images.batch import ImageBatch
    from arrowimg._images.options import JpegOptions, PixelOptions
    from arrowimg._images.rules import ImageColumn
    from arrowimg._reshard.reshard import merge, reshard
    from arrowimg._storage.adopted import Adopted
    from arrowimg._write.distributed.collect import publish_manifest
    from arrowimg._write.file_group import FileGroupTask
    from arrowimg._write.options import WriteOptions
    from arrowimg._write.source_writer import write_shards
    from arrowimg._write.stage import ImageWriterStage
    from arrowimg._write.writer import ShardWriter

__all__ = [
    "Adopted",
    "Adoption",
    "Damage",
    "DamageKind",
    "FileGroupTask",
    "Garbage",
    "ImageBatch",
    "ImageColumn",
    "ImageWriterStage",
    "JpegOptions",
    "Page",
    "PixelOptions",
    "ProcessingStage",
    "Report",
    "ShardWriter",
    "WriteOptions",
    "__version__",
    "adopt",
    "collect_garbage",
    "errors",
    "export_index",
    "fetch_images",
    "merge",
    "publish_manifest",
    "read_batches",
    "reshard",
    "scan",
    "show",
    "verify",
    "view",
    "write_shards",
]

_MODULES = {
    "_core.task": ("ProcessingStage",),
    "_dataset.adopt.adopt": ("adopt",),
    "_dataset.adopt.report": ("Adoption",),
    "_dataset.batches": ("read_batches",),
    "_dataset.fetch": ("fetch_images",),
    "_dataset.garbage": ("Garbage", "collect_garbage"),
    "_dataset.index.export": ("export_index",),
    "_dataset.report": ("Damage", "DamageKind", "Report"),
    "_dataset.scan": ("scan",),
    "_dataset.verify": ("verify",),
    "_dataset.view.show": ("show",),
    "_dataset.view.view": ("Page", "view"),
    "_images.batch": ("ImageBatch",),
    "_images.options": ("JpegOptions", "PixelOptions"),
    "_images.rules": ("ImageColumn",),
    "_reshard.reshard": ("merge", "reshard"),
    "_storage.adopted": ("Adopted",),
    "_write.distributed.collect": ("publish_manifest",),
    "_write.file_group": ("FileGroupTask",),
    "_write.options": ("WriteOptions",),
    "_write.source_writer": ("write_shards",),
    "_write.stage": ("ImageWriterStage",),
    "_write.writer": ("ShardWriter",),
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


# Polars is a quarter of a second, which most of what arrowimg does needs nothing of.
load_after("polars", "arrowimg._write.frames.namespace")

if not TYPE_CHECKING:
    # A type checker would take any name for one of ours.
    __getattr__ = _load


def __dir__() -> list[str]:
    return __all__
