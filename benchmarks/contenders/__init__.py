"""Who takes part: one line per contender, and what each needs.

Nothing of a contender is imported here, so that this table can be read in any environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Environment:
    """What to install in a virtual environment of its own.

    Attributes
    ----------
    requires
        Requirements as pip takes them.
    without_dependencies
        Requirements of which only the package itself is installed: most of its dependencies serve
        other parts of it. The first requirement, of these or else of `requires`, names the
        contender's package.
    stand_ins
        Modules that are imported but not called; empty ones take their place.
    """

    requires: tuple[str, ...]
    without_dependencies: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contender:
    """One way to write pictures.

    Attributes
    ----------
    module
        Of `benchmarks.contenders`.
    writes
        What it leaves behind: not all do the same work.
    environment
        Key of `ENVIRONMENTS`; None: the Python that runs the benchmarks.
    settings
        Keyword arguments of the module's `prepare` and `write`.
    in_process
        False: other processes work for it, so that its memory, and the noise of the machine while
        it ran, are not known.
    """

    name: str
    module: str
    writes: str
    environment: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    in_process: bool = True


# What reads the input and the pictures back, in every environment.
_BASE = ("numpy", "pillow", "pyarrow")

ENVIRONMENTS = {
    "nemo-curator": Environment(
        ("attrs", "fsspec", "loguru", "pandas", "ray==2.60.0", *_BASE),
        without_dependencies=("nemo-curator==1.4.0", "cosmos-xenna==0.2.0"),
        stand_ins=("torch",),
    ),
    "webdataset": Environment(("webdataset==1.0.2", *_BASE)),
    "img2dataset": Environment(("img2dataset==1.47.0", *_BASE)),
    "ray": Environment(("ray[data]==2.60.0", *_BASE)),
    "datasets": Environment(("datasets==5.2.0", *_BASE)),
    "litdata": Environment(("litdata==0.2.76", "torch==2.13.0", *_BASE)),
    "mosaicml-streaming": Environment(
        (
            "brotli",
            "catalogue",
            "numpy<2.2",
            "pillow",
            "pyarrow",
            "python-snappy",
            "torch==2.13.0",
            "tqdm",
            "transformers<5",
            "xxhash<4",
            "zstd",
        ),
        without_dependencies=("mosaicml-streaming==0.13.0",),
        stand_ins=(
            "torchvision",
            "torchvision.datasets",
            "torchvision.transforms",
            "torchvision.transforms.functional",
        ),
    ),
    "pylance": Environment(("pylance==14.0.2", *_BASE)),
    "pillow": Environment(("pillow", "numpy", "pyarrow")),
}

CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(
            "limit: encode, 1 thread",
            "limit_encode",
            "nothing: what is encoded is dropped",
            settings={"threads": 1},
        ),
        Contender(
            "limit: encode, 2 threads",
            "limit_encode",
            "nothing: what is encoded is dropped",
            settings={"threads": 2},
        ),
        Contender("limit: one write", "limit_write", "one file, the ready bytes of a tar, synced"),
        Contender(
            "arrowimg",
            "arrowimg_stage",
            "tars, Parquet with all columns, byte ranges and checksums; synced, committed",
        ),
        Contender(
            "arrowimg, 1 thread",
            "arrowimg_stage",
            "the same",
            settings={"encode_threads": 1},
        ),
        Contender(
            "arrowimg, captions in the tar",
            "arrowimg_stage",
            "the same, and a .txt beside each picture",
            settings={"members": {"txt": "caption"}},
        ),
        Contender(
            "NeMo Curator",
            "nemo_curator",
            "tars, Parquet with metadata as text",
            "nemo-curator",
        ),
        Contender("webdataset", "webdataset_writer", "tars with captions", "webdataset"),
        Contender("Pillow and tarfile", "pillow_tarfile", "tars", "pillow"),
        Contender(
            "img2dataset",
            "img2dataset_writer",
            "tars with captions and JSON, Parquet with all columns",
            "img2dataset",
        ),
        Contender(
            "Ray Data",
            "ray_webdataset",
            "tars with captions; two worker processes",
            "ray",
            in_process=False,
        ),
        Contender("Hugging Face datasets", "hugging_face", "Parquet with all columns", "datasets"),
        Contender(
            "LitData",
            "litdata_optimize",
            "its own chunks with all columns; two worker processes",
            "litdata",
            in_process=False,
        ),
        Contender(
            "MosaicML streaming",
            "mosaic_mds",
            "its own shards with all columns",
            "mosaicml-streaming",
        ),
        Contender("Lance", "lance_dataset", "its own files with all columns", "pylance"),
    )
}
