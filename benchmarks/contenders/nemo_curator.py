"""NeMo Curator's ImageWriterStage, called as its pipeline calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_curator.stages.image.io.image_writer import ImageWriterStage
from nemo_curator.tasks.image import ImageBatch, ImageObject

from benchmarks.tars import read_pictures
from benchmarks.views import pictures, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def prepare(table: pa.Table, **_settings: Any) -> ImageBatch:
    objects = [
        ImageObject(
            image_path=f"{row['image_id']}.jpg",
            image_id=row["image_id"],
            metadata={"caption": row["caption"], "score": row["score"]},
            image_data=view,
        )
        for row, view in zip(rows(table), pictures(table), strict=True)
    ]
    return ImageBatch(dataset_name="benchmark", data=objects)


def write(prepared: ImageBatch, out: str) -> None:
    stage = ImageWriterStage(out, images_per_tar=1000, remove_image_data=True)
    stage.setup()
    stage.process(prepared)


def read_back(out: str, _prepared: ImageBatch) -> Iterator[tuple[str, bytes]]:
    yield from read_pictures(out)
