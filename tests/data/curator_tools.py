"""Stages and tasks of NeMo Curator for the tests; only where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.tasks import Task
from nemo_curator.tasks.image import ImageBatch, ImageObject
from writer_data import windows

if TYPE_CHECKING:
    from collections.abc import Iterable

NUM_BATCHES, ROWS = 6, 20


def image_batches() -> list[Any]:
    """Return Curator's batches: colour and gray pictures with all that its objects can hold."""
    pictures = windows(NUM_BATCHES * ROWS)
    objects = [
        ImageObject(
            image_path=f"/photographs/{at:03d}.png",
            image_id=f"id{at:03d}",
            metadata={"license": "CC0", "tags": ["a", at], "box": np.arange(2)},
            image_data=picture[..., 0] if at % 5 == 0 else picture,
            embedding=np.full(4, at, np.float32) if at % 7 else None,
            aesthetic_score=at / 7,
            nsfw_score=None if at % 3 else np.float64(0.25),
        )
        for at, picture in enumerate(pictures)
    ]
    return [
        ImageBatch(dataset_name="windows", data=objects[at : at + ROWS])
        for at in range(0, len(objects), ROWS)
    ]


@dataclass
class MakeImages(ProcessingStage[Task, ImageBatch]):
    """Makes the batches out of nothing, as a reader does."""

    name: str = "make_images"

    def process(self, task: Task) -> list[ImageBatch]:
        del task
        return image_batches()


MakeImages.process.__annotations__ = {"task": Task, "return": list[ImageBatch]}


def run(stages: Iterable[Any]) -> list[Any]:
    """Run stages as a pipeline on Curator's Ray Data executor."""
    from nemo_curator.backends.ray_data import RayDataExecutor
    from nemo_curator.pipeline import Pipeline

    results = Pipeline(name="test", stages=list(stages)).run(RayDataExecutor())
    assert results is not None
    return list(results)
