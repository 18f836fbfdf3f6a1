"""What a process of its own does; a module, so that a spawned one can import it."""

from __future__ import annotations

from writer_data import dataset

from arrowimg import FileGroupTask, ImageBatch, ImageWriterStage


def write_rows(stage: ImageWriterStage, start: int, stop: int) -> FileGroupTask:
    """Write some rows of the data set of 60."""
    return stage.process(ImageBatch(dataset(60).slice(start, stop - start)))
