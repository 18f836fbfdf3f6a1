"""Many processes write what one writes: each source, each option, each error."""

from __future__ import annotations

import random
import shutil
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest
from bytes_data import drawn
from file_data import FILES, JPEG
from worker_data import PoolOfNone, outcome

from arrowimg import ImageBatch, ShardWriter, write_shards
from arrowimg.errors import BrokenWriterError, ImageError, ShardConflictError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS, AT_ONCE = 460, 100


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[PoolOfNone]:
    """Let workers be no processes; return those that were made."""
    made: list[PoolOfNone] = []

    def make(count: int, context: object) -> PoolOfNone:
        made.append(PoolOfNone(count, context))
        return made[-1]

    monkeypatch.setattr("arrowimg._write.processes.line.WorkerPool", make)
    for name in ("sources.table_files", "sources.pieces.files", "sources.source", "sources.items"):
        monkeypatch.setattr(f"arrowimg._write.{name}.ROWS_PER_BATCH", AT_ONCE)
    monkeypatch.setattr("arrowimg._write.processes.feed._MOST_ROWS", 3 * AT_ONCE)
    return made


def check(
    make: Callable[[], object],
    place: Path,
    pools: list[PoolOfNone],
    **options: Any,  # noqa: ANN401  # of the writer
) -> tuple[object, ...]:
    """Write a source by one and by three; return what was returned or raised."""
    one = outcome(make, place / "one", **options)
    three = outcome(make, place / "three", workers=3, **options)

    assert three[1] == one[1]
    # Where a name is taken, shards behind it were being written already.
    behind = set(three[0]) - set(one[0]) if one[1][0] is ShardConflictError else set()
    assert sorted(set(three[0]) - behind) == sorted(one[0])
    assert [name for name in one[0] if three[0][name] != one[0][name]] == []
    assert sorted(three[2]) == sorted(one[2])
    assert isinstance(one[1][0], type) or pools[-1].regions == [], "memory was not released"
    return one[1]


def pictures(rows: int = ROWS) -> pa.Table:
    """Return tiny pictures of noise, with some columns."""
    pixels = np.random.default_rng(0).integers(0, 256, (rows, 6, 5, 3), np.uint8)
    ids = [f"id{row:05d}" for row in range(rows)]
    captions = pa.array([f"naïve {row % 7}" for row in range(rows)]).dictionary_encode()
    return ImageBatch.from_arrays(pixels, ids, caption=captions, score=range(rows)).data


def files(rows: int = ROWS, *, bad: bool = True) -> pa.Table:
    """Return encoded files, some of other formats, some broken."""
    choose = random.Random(1)  # noqa: S311  # the same each time
    some = [choose.choice(FILES) if bad and choose.random() < 0.02 else JPEG for _ in range(rows)]
    ids = [f"id{row:05d}" if row % 50 else None for row in range(rows)]
    return pa.table({"image_id": ids, "image_data": some, "score": range(rows)})


def folder_of(place: Path, table: pa.Table) -> Path:
    (place / "source" / "deep").mkdir(parents=True)
    for row, data in enumerate(table["image_data"].to_pylist()):
        (place / "source" / ("deep" if row % 3 else "") / f"{row:05d}.jpg").write_bytes(data or b"")
    (place / "source" / "gone.jpg").symlink_to(place / "gone")
    (place / "source" / "loop.jpg").mkdir()
    return place / "source"


def paths_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.jpg") if path.is_file())


def parquet(place: Path, table: pa.Table, rows: int) -> Path:
    pq.write_table(table, place / f"{rows}.parquet", row_group_size=rows)
    return place / f"{rows}.parquet"


def arrow(place: Path, table: pa.Table, name: str, compression: str = "") -> Path:
    path = place / f"{name}.arrow"
    if name == "stream":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, 33)
    else:
        pf.write_feather(table, path, compression=compression, chunksize=AT_ONCE + 80)
    return path


QUARANTINED = {"on_error": "quarantine", "keep_quarantined": True}

SOURCES: dict[str, Callable[[Path], Callable[[], object]]] = {
    "pixels": lambda _: pictures,
    "polars": lambda _: lambda: pl.DataFrame(files()),
    "reader": lambda _: lambda: files().to_reader(),
    "views": lambda _: (
        lambda: files().cast(
            pa.schema(
                {"image_id": pa.string_view(), "image_data": pa.binary_view(), "score": pa.int64()}
            )
        )
    ),
    "batches": lambda _: lambda: (files().slice(at, 17) for at in range(0, ROWS, 17)),
    "row groups": lambda place: lambda: parquet(place, files(), 13),
    "one row group": lambda place: lambda: parquet(place, pictures(), 10_000),
    "many parquet": lambda place: (
        lambda: [
            parquet(place, files().slice(0, 180), 20),
            parquet(place, files().slice(180), 70),
        ]
    ),
    "arrow": lambda place: lambda: arrow(place, files(), "plain", "uncompressed"),
    "batches of arrow": lambda place: lambda: arrow(place, pictures(), "packed", "lz4"),
    "stream": lambda place: lambda: arrow(place, files(), "stream"),
    "folder": lambda place: partial(str, folder_of(place, files())),
    "paths": lambda place: partial(paths_in, folder_of(place, files())),
}

OPTIONS: list[dict[str, Any]] = [
    QUARANTINED,
    {**QUARANTINED, "images_per_tar": 7, "checksum": "sha256"},
    {**QUARANTINED, "images_per_tar": 1000, "remove_image_data": False},
    {**QUARANTINED, "max_bytes_per_tar": 60_000, "reencode": True},
    {"images_per_tar": 60},
    {**QUARANTINED, "max_error_fraction": 0.001},
]


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_gives_the_bytes_of_one(
    source: str, tmp_path: Path, pools: list[PoolOfNone]
) -> None:
    make = SOURCES[source](tmp_path)

    for at, options in enumerate(OPTIONS):
        check(make, tmp_path / f"{at}", pools, **options)


@pytest.mark.parametrize("seed", range(40))
def test_drawn_tables_give_the_bytes_of_one(
    seed: int, tmp_path: Path, pools: list[PoolOfNone]
) -> None:
    choose = random.Random(seed)  # noqa: S311
    table, options = drawn(choose)
    cuts = sorted({0, table.num_rows, *(choose.randint(0, table.num_rows) for _ in range(3))})
    parts = [table.slice(start, stop - start) for start, stop in pairwise(cuts)]
    options["on_error"] = choose.choice(["raise", "quarantine"])

    check(lambda: iter(parts), tmp_path, pools, **options)


@pytest.mark.parametrize("if_exists", ["verify", "skip", "overwrite", "error"])
def test_what_is_there_counts_as_with_one(
    if_exists: str, tmp_path: Path, pools: list[PoolOfNone]
) -> None:
    whole = tmp_path / "origin"
    options: dict[str, Any] = {**QUARANTINED, "images_per_tar": 40}
    write_shards(files(), whole, progress=False, **options)
    options["if_exists"] = if_exists

    def state(name: str, gone: list[str]) -> None:
        for place in ("one", "three"):
            shutil.copytree(whole, tmp_path / name / place)
            for file in gone:
                (tmp_path / name / place / file).unlink()

    state("whole", [])
    state("begun", ["manifest.json", *(f"images-00000{at}.parquet" for at in range(4, 10))])
    state("holes", ["manifest.json", "images-000003.parquet", "images-000007.parquet"])
    for name in ("whole", "begun", "holes"):
        check(files, tmp_path / name, pools, **options)
    for name, make in {
        "shorter": lambda: files().slice(0, 60),
        "longer": lambda: pa.concat_tables([files(), pa.table({"image_data": [JPEG] * 60})]),
        "others": lambda: files(bad=False).slice(30),
        "tail": lambda: parquet(tmp_path, files(), 20),
    }.items():
        state(name, ["manifest.json"])
        check(make, tmp_path / name, pools, **options)


class TestMetadata:
    @pytest.fixture
    def frame(self) -> pl.DataFrame:
        ids = [f"id{row:05d}" for row in range(ROWS)]
        return pl.DataFrame({"image_id": ids[::-1], "label": range(ROWS)})

    @pytest.mark.parametrize("source", ["pixels", "one row group", "batches of arrow"])
    def test_metadata_is_joined_as_with_one(
        self, source: str, frame: pl.DataFrame, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        make, members = SOURCES[source](tmp_path), {"json": ["label", "score"]}
        for at, metadata in enumerate([frame, frame[1:], pl.concat([frame, frame[:1]])]):
            place = tmp_path / f"{at}"
            check(make, place, pools, metadata=metadata, members=members, images_per_tar=80)

    def test_metadata_of_a_folder_is_joined_by_the_ids_of_its_files(
        self, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        folder = folder_of(tmp_path, files(240, bad=False))
        (folder / "gone.jpg").unlink()
        names = [path.relative_to(folder).with_suffix("") for path in folder.rglob("0*.jpg")]
        frame = pl.DataFrame({"image_id": [it.as_posix() for it in names], "label": range(240)})
        for at, metadata in enumerate([frame, frame[1:]]):
            check(lambda: folder, tmp_path / f"{at}", pools, metadata=metadata)

    def test_a_name_that_is_no_text_is_a_row_that_says_so(
        self, frame: pl.DataFrame, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        folder = folder_of(tmp_path, files(30, bad=False))
        (folder / "x\udcff.jpg").write_bytes(JPEG)

        check(lambda: folder, tmp_path / "rows", pools, on_error="quarantine")
        check(lambda: folder, tmp_path / "joined", pools, metadata=frame)


class TestErrors:
    @pytest.mark.parametrize(
        "place", [5, 300, 459], ids=["first batch", "middle batch", "last batch"]
    )
    def test_a_bad_row_is_the_error_of_one_and_shards_before_it_remain(
        self, place: int, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        columns = files(bad=False).to_pydict()
        columns["image_data"][place] = b"no picture"
        columns["image_data"][min(place + 1, ROWS - 1)] = JPEG[:100]
        table = pa.table(columns)

        for at, make in enumerate([lambda: table, lambda: parquet(tmp_path, table, 20)]):
            found = check(make, tmp_path / f"{at}", pools, images_per_tar=50)
            assert found[0] is ImageError
            assert f"row {place} " in str(found[1])

    def test_batches_before_a_bad_row_of_the_same_piece_are_written(
        self, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        columns = files(3 * AT_ONCE, bad=False).to_pydict()
        columns["image_data"][250] = b"no picture"
        path = parquet(tmp_path, pa.table(columns), 3 * AT_ONCE)

        found = check(lambda: path, tmp_path / "out", pools, images_per_tar=50)

        assert found[0] is ImageError
        # The fourth is full, too: only a row behind it would close it.
        written = sorted(it.name for it in (tmp_path / "out" / "three").glob("*.tar"))
        assert written == [f"images-{number:06d}.tar" for number in range(3)]

    def test_a_source_that_breaks_off_is_the_error_of_one(
        self, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        def broken() -> Any:  # noqa: ANN401  # an iterator
            yield from (files(bad=False).slice(at, 17) for at in range(0, 200, 17))
            message = "no more"
            raise RuntimeError(message)

        check(broken, tmp_path, pools, images_per_tar=20)

    def test_what_is_wrong_with_rows_before_is_said_first(
        self, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        def broken() -> Any:  # noqa: ANN401
            yield files(bad=False).slice(0, 100)
            yield pa.table({"image_data": [b"no picture"]})
            yield files(bad=False).slice(100)
            message = "no more"
            raise RuntimeError(message)

        check(broken, tmp_path, pools, images_per_tar=20)

    def test_ids_that_are_there_twice_are_the_error_of_one(
        self, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        twice = [files(bad=False).slice(0, 60), files(bad=False).slice(20, 120)]
        check(lambda: iter(twice), tmp_path / "far", pools, images_per_tar=20)
        check(lambda: iter(twice), tmp_path / "near", pools, images_per_tar=1000)
        within = [pa.concat_tables([twice[0], twice[0].slice(5, 1)])]
        check(lambda: iter(within), tmp_path / "within", pools)

    @pytest.mark.parametrize("max_bytes", [None, 40_000])
    def test_columns_that_differ_are_widened_as_by_one(
        self, max_bytes: int | None, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        first = files(bad=False).slice(0, 60)
        scores = pa.array([at / 3 for at in range(60)])
        others = {
            "fewer": first.drop_columns(["score"]),
            "more": pictures(10),
            "order": first.select(["score", "image_data"]),
            "wider": first.set_column(2, "score", scores),
            "clash": first.set_column(2, "score", scores.cast(pa.string())),
            "too wide": first.set_column(2, "score", pa.array([2**60 + 1] * 60)),
        }
        for name, other in others.items():
            ids = pa.array([f"{name} {row}" for row in range(other.num_rows)])
            renamed = other.select([it for it in other.column_names if it != "image_id"])
            renamed = renamed.append_column("image_id", ids)
            for number, batches in enumerate([[first, renamed], [first, others["wider"], renamed]]):
                check(
                    lambda batches=batches: iter(batches),  # type: ignore[misc]
                    tmp_path / f"{name} {number}",
                    pools,
                    images_per_tar=37,
                    members={"txt": "score"},
                    max_bytes_per_tar=max_bytes,
                )

    def test_a_file_that_cannot_be_read_is_the_error_of_one(
        self, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        path = parquet(tmp_path, files(bad=False), 80)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 4000] = b"\xff" * 4000
        path.write_bytes(data)

        check(lambda: path, tmp_path / "out", pools, images_per_tar=20)


class TestShardWriter:
    def test_batches_are_written_as_by_one(self, tmp_path: Path, pools: list[PoolOfNone]) -> None:
        groups = []
        for workers in (None, 2):
            with ShardWriter(tmp_path / f"{workers}", 300, workers=workers) as writer:
                for start in range(0, ROWS, 17):
                    writer.write(pictures().slice(start, 17))
            groups.append(writer.file_group.data.drop_columns(["path"]))

        assert len(pools) == 1
        assert groups[0] == groups[1]

    def test_an_error_ends_the_writer(self, tmp_path: Path, pools: list[PoolOfNone]) -> None:
        del pools
        picture, none = pa.table({"image_data": [JPEG]}), pa.table({"image_data": [b"no picture"]})

        def write_on(writer: ShardWriter) -> None:
            for _ in range(20):
                writer.write(picture)

        def write() -> None:
            with ShardWriter(tmp_path, 100, workers=2) as writer:
                writer.write(files(101, bad=False))
                writer.write(none)
                with pytest.raises(ImageError, match="row 101"):
                    write_on(writer)
                writer.write(picture)

        with pytest.raises(BrokenWriterError):
            write()

        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "images-000000.parquet",
            "images-000000.tar",
        ]

    def test_what_was_handed_over_before_an_error_of_the_caller_is_written(
        self, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        del pools

        def write(workers: int | None) -> None:
            with ShardWriter(tmp_path / f"{workers}", 100, workers=workers) as writer:
                writer.write(files(350, bad=False))
                raise KeyError

        for workers in (None, 2):
            with pytest.raises(KeyError):
                write(workers)
        assert sorted(it.name for it in (tmp_path / "2").iterdir()) == sorted(
            it.name for it in (tmp_path / "None").iterdir()
        )


class TestColumns:
    def test_columns_are_chosen_as_by_one(self, tmp_path: Path, pools: list[PoolOfNone]) -> None:
        path = parquet(tmp_path, files(bad=False).rename_columns(["id", "image", "score"]), 20)
        named = {"id": "image_id", "image": "image_data"}
        chosen: list[dict[str, Any]] = [
            {"rename": {**named, "score": "rank"}},
            {"rename": named, "drop": ["score"]},
            {"rename": named, "drop": ["nothing"]},
            {"rename": named, "split": {"train": 0.7, "val": 0.3}},
        ]
        for at, options in enumerate(chosen):
            check(lambda: path, tmp_path / f"{at}", pools, images_per_tar=30, **options)

    def test_what_files_bring_along_is_as_with_one(
        self, tmp_path: Path, pools: list[PoolOfNone]
    ) -> None:
        folder = folder_of(tmp_path, files(120))
        for path in paths_in(folder)[::3]:
            path.with_suffix(".txt").write_text(f"of {path.name}")

        check(
            lambda: folder,
            tmp_path / "out",
            pools,
            captions="txt",
            labels="folder",
            on_error="quarantine",
        )
