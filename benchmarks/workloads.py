"""What is measured: an input, where it is written to, and who takes part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.contenders import CONTENDERS
from benchmarks.rounds import Case


@dataclass(frozen=True)
class Workload:
    """One row of bars.

    Attributes
    ----------
    isolates
        What it tells that the others do not.
    input
        Key of `benchmarks.inputs.INPUTS`.
    contenders
        Keys of `benchmarks.contenders.CONTENDERS`.
    place
        ``"tmpfs"``: files in memory. ``"disk"``: a folder of the disk.
    cores
        How many cores the process may use; None: all.
    block
        Workloads of one block take turns, so that they can be compared with one another.
    """

    name: str
    isolates: str
    input: str
    contenders: tuple[str, ...]
    block: str
    place: Literal["tmpfs", "disk"] = "tmpfs"
    cores: int | None = None


_ENCODE = "limit: encode, 2 threads"
_WRITE = "limit: one write"
_TAR_WRITERS = ("NeMo Curator", "webdataset", "Pillow and tarfile")

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "64x64",
            "what each picture costs whatever its size: thumbnails",
            "64",
            (_ENCODE, "arrowimg", *_TAR_WRITERS),
            "64",
        ),
        Workload(
            "256x256",
            "the usual size of a training picture: encoding, and everything around it",
            "256",
            (_ENCODE, "arrowimg", *_TAR_WRITERS),
            "256",
        ),
        Workload(
            "256x256, embedding",
            "a 768-float32 embedding on each row: what the sidecar costs",
            "256-embedding",
            ("arrowimg",),
            "256",
        ),
        Workload(
            "256x256, one core",
            "the same on one core, as a Ray task has it: no gain by threads",
            "256",
            ("limit: encode, 1 thread", "arrowimg, 1 thread", "NeMo Curator"),
            "256-one-core",
            cores=1,
        ),
        Workload(
            "256x256, disk",
            "the same onto a disk: waiting for it",
            "256",
            (_ENCODE, "arrowimg", "NeMo Curator"),
            "256-disk",
            place="disk",
        ),
        Workload(
            "1024x768",
            "large pictures: nearly nothing but the JPEG encoder",
            "1024",
            (_ENCODE, "arrowimg", *_TAR_WRITERS),
            "1024",
        ),
        Workload(
            "mixed sizes",
            "six sizes in one batch: sharing uneven work among threads",
            "mixed",
            (_ENCODE, "arrowimg", "NeMo Curator"),
            "mixed",
        ),
        Workload(
            "4 KB files",
            "JPEG files passed through, small: headers, names and the sidecar",
            "4KB",
            (_WRITE, "arrowimg", "Pillow and tarfile"),
            "4KB",
        ),
        Workload(
            "15 KB files",
            "the usual size of a file passed through: against the speed of memory",
            "15KB",
            (
                _WRITE,
                "arrowimg",
                "arrowimg, captions in the tar",
                "webdataset",
                "Pillow and tarfile",
            ),
            "15KB",
        ),
        Workload(
            "15 KB files, everybody",
            "fewer of the same, for writers of other formats and those that start processes",
            "15KB-few",
            (
                "arrowimg",
                "img2dataset",
                "Ray Data",
                "Hugging Face datasets",
                "LitData",
                "MosaicML streaming",
                "Lance",
            ),
            "15KB-everybody",
        ),
        Workload(
            "15 KB files, disk",
            "the same onto a disk: waiting for it",
            "15KB",
            (_WRITE, "arrowimg", "Hugging Face datasets", "Lance"),
            "15KB-disk",
            place="disk",
        ),
        Workload(
            "100 KB files",
            "large files passed through: moving bytes",
            "100KB",
            (_WRITE, "arrowimg", "Pillow and tarfile"),
            "100KB",
        ),
    )
}


def cases() -> list[Case]:
    """Return what is measured."""
    return [
        Case(
            workload.block,
            workload.name,
            CONTENDERS[contender],
            workload.input,
            workload.place,
            workload.cores,
        )
        for workload in WORKLOADS.values()
        for contender in workload.contenders
    ]
