"""NeMo Curator: a writer stage for its pipelines. The one door to ``nemo_curator``.

Importing this module does not import NeMo Curator; asking it for `ImageWriterStage` does.
What turns its tasks into batches looks at their attributes only, and works without it.

``remove_image_data`` is the name of a parameter here and in `arrowimg.ImageWriterStage`, and means
two things. Here it is Curator's: True drops the pixels of the objects that the pipeline holds, once
they are committed. There it decides whether the sidecar has a column ``image_data`` of the stored
pictures; the parameter for that is ``keep_images`` here, which says the opposite.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from arrowimg.curator._batches import batch_of_tasks

if TYPE_CHECKING:
    from arrowimg.curator._stage import ImageWriterStage

__all__ = ["ImageWriterStage", "batch_of_tasks"]


def _load(name: str) -> object:
    if name != "ImageWriterStage":
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = import_module("arrowimg.curator._stage").ImageWriterStage
    globals()[name] = value
    return value


if not TYPE_CHECKING:
    # A type checker would take any name for one of ours.
    __getattr__ = _load
