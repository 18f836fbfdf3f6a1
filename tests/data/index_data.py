"""Datasets to make indexes of, and what their tars hold."""

from __future__ import annotations

import tarfile
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from writer_data import IDS, windows

from arrowimg import ImageBatch, ImageWriterStage, write_shards

HOSTILE = ["../../escape", "a b\tc", "naïve 猫", 'quote"s\\', "x" * 300, "__key__", "v1.2.jpg", ""]
TORN = (3, 11)

if TYPE_CHECKING:
    from pathlib import Path


class Member(NamedTuple):
    """A member as `tarfile` finds it."""

    tar: str
    name: str
    header: int
    offset: int
    size: int

    @property
    def key(self) -> str:
        return self.name.split(".", 1)[0]

    @property
    def field(self) -> str:
        return self.name.split(".", 1)[1]


def write_dataset(folder: Path, **options: Any) -> Path:  # noqa: ANN401  # any option
    """Write 20 pictures, two of them torn, as shards of seven, with members of four kinds."""
    rows = range(20)
    table = pa.table(
        {
            "image_id": [*HOSTILE, *IDS[:12]],
            "image_data": [jpeg[: 3 if at in TORN else None] for at, jpeg in enumerate(jpegs(20))],
            "caption": [None if at % 5 == 0 else f"naïve {at}\n" for at in rows],
            "score": [at / 3 for at in rows],
            "tags": [["a", "b"][: at % 3] for at in rows],
            "mask": [bytes(at * 300) for at in rows],
        }
    )
    members = {"txt": "caption", "json": ["caption", "score", "tags"], "mask.png": "mask"}
    defaults: dict[str, Any] = {"on_error": "quarantine", "members": members}
    write_shards(table, folder, 7, **defaults | options)
    return folder


def write_batches(folder: Path, *, members: dict[str, Any] | None = None) -> Path:
    """Write two batches by a stage: no manifest."""
    stage = ImageWriterStage(folder, 4, remove_image_data=True, members=members or {})
    for start in (0, 9):
        ids = IDS[start : start + 9]
        stage.process(ImageBatch.from_arrays(windows(9), ids, caption=ids))
    return folder


def jpegs(count: int) -> list[bytes]:
    stage = ImageWriterStage("nowhere")
    return [stage._encode_image_to_bytes(window)[0] for window in windows(count)]


def members_in(folder: Path) -> dict[str, list[Member]]:
    """Return the members of every tar of a folder that holds pictures, by its name."""
    found = {}
    for path in sorted(folder.glob("images-*.tar")):
        with tarfile.open(path) as tar:
            found[path.name] = [
                Member(path.name, it.name, it.offset, it.offset_data, it.size) for it in tar
            ]
    return found


def samples_of(members: list[Member]) -> list[list[Member]]:
    return [list(group) for _, group in groupby(members, key=lambda member: member.key)]
