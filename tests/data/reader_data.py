"""One dataset for every reader, what must be read of it, and the record of what was read."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from photographs import SKIMAGE
from PIL import Image

import arrowimg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KINDS = {
    "plain": ["cat", "cat2", "rocket-0", "rocket_1"],
    "dotted": ["with.dots.v1", "with.dots.v2", "photo.jpg", ".hidden"],
    "slashed": ["folder/name", "folder.v1/name.jpg", "/absolute", "../escape"],
    "spaced": ["two words", " before and after ", "tab\there", "line\nbreak"],
    "non-ASCII": ["naïve café", "猫", "e\u0301", "\u00e9"],
    "very long": ["x" * 300, "y" * 299 + "z", "y" * 299 + "Z", "猫" * 100],
    "upper-case": ["UPPER", "upper", "Photo.JPG", "IMG_0001"],
}
"""Ids that readers of tars have trouble with, by what the trouble is."""

ALL_EQUAL = dict.fromkeys(KINDS, "equal")

# In turns, so that every shard has every kind.
IDS = [(kind, ids[turn]) for turn in range(4) for kind, ids in KINDS.items()]
CAPTIONS = [f'picture {at} of a "naïve" 猫\n' for at in range(len(IDS))]
SCORES = [at / 3 for at in range(len(IDS))]


class Sample(NamedTuple):
    """One image as a reader returns it: its key, and the bytes of each member by extension."""

    key: str
    members: dict[str, bytes]


class Dataset(NamedTuple):
    """The dataset as it was written, and the samples that every reader must return, in order."""

    folder: Path
    tars: list[str]
    sidecars: list[str]
    samples: list[Sample]

    def only(self, extension: str) -> Dataset:
        """Return the dataset for a reader that knows the members of one extension only."""
        samples = [Sample(it.key, {extension: it.members[extension]}) for it in self.samples]
        return self._replace(samples=samples)


def pictures() -> list[bytes]:
    """Cut a JPEG for each id out of photographs, no two of the same size."""
    names = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"]
    photographs = [Image.open(SKIMAGE / name).convert("RGB") for name in names]
    files = [io.BytesIO() for _ in IDS]
    for at, file in enumerate(files):
        window = photographs[at % 4].crop((60 + at, 40, 140 + 2 * at, 104))
        window.save(file, "JPEG", quality=92)
    return [file.getvalue() for file in files]


def as_json(value: object) -> bytes:
    """Return a JSON member's bytes for the value that a reader has parsed out of it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def write_dataset(folder: Path) -> Dataset:
    """Write the dataset, and make what is to be read without the library: with tarfile."""
    jpegs = pictures()
    columns = {
        "image_id": [image_id for _, image_id in IDS],
        "image_data": jpegs,
        "caption": CAPTIONS,
        "score": SCORES,
    }
    group = arrowimg.write_shards(
        pa.table(columns),
        folder,
        images_per_tar=10,
        remove_image_data=False,
        members={"txt": "caption", "json": ["caption", "score"]},
        checksum="sha256",
    )
    samples = read_with_tarfile(group.tar_paths)
    assert [sample.members for sample in samples] == [
        {
            "jpg": jpeg,
            "json": as_json({"caption": caption, "score": score}),
            "txt": caption.encode(),
        }
        for jpeg, caption, score in zip(jpegs, CAPTIONS, SCORES, strict=True)
    ]
    return Dataset(folder, group.tar_paths, group.parquet_paths, samples)


def read_with_tarfile(paths: Iterable[str]) -> list[Sample]:
    """Return the samples of some tars: a key is what stands before the first dot."""
    members = []
    for path in paths:
        with tarfile.open(path) as tar:
            members += [(it.name, file.read()) for it in tar if (file := tar.extractfile(it))]
    return in_samples(members)


def in_samples(members: Iterable[tuple[str, bytes]]) -> list[Sample]:
    """Put members of a tar together that stand side by side and have the same key."""
    samples: list[Sample] = []
    for name, data in members:
        key, _, extension = name.partition(".")
        if not samples or samples[-1].key != key:
            samples.append(Sample(key, {}))
        samples[-1].members[extension] = data
    return samples


def sample_of(found: Mapping[str, Any]) -> Sample:
    """Return a dict of fields, which the readers of the webdataset family make, as a sample."""
    return Sample(found["__key__"], {name: found[name] for name in ("jpg", "json", "txt")})


def compare(
    dataset: Dataset, found: Iterable[Sample], reader: str, how: str = ""
) -> dict[str, str]:
    """Tell whether a reader has returned the same keys, in the same order, with the same bytes.

    Returns what `compare_kinds` does, and writes it down for the table of all readers.
    """
    outcomes = compare_kinds(dataset.samples, list(found))
    if folder := os.environ.get("ARROWIMG_READERS"):
        name = " ".join([reader, *version_of(reader), *([f"({how})"] if how else [])])
        path = Path(folder, re.sub(r"\W+", "-", name) + ".json")
        path.write_text(json.dumps({"reader": name, "kinds": outcomes}), encoding="utf-8")
    return outcomes


def compare_kinds(wanted: list[Sample], found: list[Sample]) -> dict[str, str]:
    """Return "equal" for each kind of id, or how its first sample that differs does."""
    if len(found) != len(wanted):
        return dict.fromkeys(KINDS, f"{len(found)} samples instead of {len(wanted)}")
    outcomes = dict(ALL_EQUAL)
    for (kind, _), right, sample in reversed(list(zip(IDS, wanted, found, strict=True))):
        if sample.key != right.key:
            outcomes[kind] = f"{sample.key} in the place of {right.key}"
        elif sample.members != right.members:
            outcomes[kind] = f"other members or bytes of {right.key}"
    return outcomes


def version_of(reader: str) -> list[str]:
    """Return the version of a Python package; programs of the system have none here."""
    try:
        return [version(reader)]
    except PackageNotFoundError:
        return []
