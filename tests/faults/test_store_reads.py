"""Each request of a reader goes wrong in turn: it gets the bytes that were written, or an error."""

from __future__ import annotations

import functools
import io
import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pyarrow.parquet as pq
import pytest
from fault_proxy import Exchange, Rule
from store_tools import (
    TIMEOUT,
    Bench,
    Figures,
    Objects,
    Trial,
    bench,
    given,
    operations,
    side_by_side,
    tell,
)

import arrowimg
from arrowimg.errors import ArrowimgError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from store_servers import Kind, Servers

FAULTS: list[dict[str, Any]] = [
    {"kind": "drop_reply"},
    {"kind": "status", "status": 500, "code": "InternalError"},
    {"kind": "status", "status": 503, "code": "SlowDown"},
    {"kind": "cut_reply", "nbytes": 100},
    {"kind": "flip", "nbytes": 0},
    {"kind": "flip", "nbytes": 700},
]
STALLS: list[dict[str, Any]] = [
    {"kind": "stall"},
    {"kind": "stall_reply", "nbytes": 100},
]
Options = dict[str, str]
Pictures = list[tuple[str, int, bytes | None]]


def expected(objects: Objects) -> Pictures:
    """Return ids, labels and pictures of a dataset, cut out of its tars by their rows."""
    found: Pictures = []
    for name in sorted(objects):
        if name.endswith(".parquet"):
            rows = pq.read_table(io.BytesIO(objects[name])).to_pylist()
            for row in rows:
                tar, start = objects[row["tar_file"]], row["offset"]
                found.append((row["image_id"], row["label"], tar[start : start + row["size"]]))
    return found


def scanned(url: str, options: Options) -> Pictures:
    """Return the rows alone; scan hands out no pictures."""
    frame = arrowimg.scan(url, **given(options)).collect()
    return [(row["image_id"], row["label"], None) for row in frame.to_dicts()]


def fetched(url: str, options: Options) -> Pictures:
    frame = arrowimg.scan(url, **given(options)).collect()
    pictures = arrowimg.fetch_images(frame, **given(options))
    assert isinstance(pictures, pl.DataFrame)
    return [(row["image_id"], row["label"], row["image_data"]) for row in pictures.to_dicts()]


def batched(url: str, options: Options) -> Pictures:
    batches = arrowimg.read_batches(url, **given(options))
    return [
        (row["image_id"], row["label"], row["image_data"])
        for batch in batches
        for row in batch.data.to_pylist()
    ]


def verified(url: str, options: Options) -> Pictures:
    """Return nothing where the report is clean; a damage that is none is told, like an error."""
    report = arrowimg.verify(url, progress=False, **given(options))
    if not report.is_sound:
        raise FalseAlarmError(str(report.damages[0]))
    return []


class FalseAlarmError(ArrowimgError):
    """A reader said that sound files are damaged."""


class Reader(NamedTuple):
    """Something that reads a dataset.

    Attributes
    ----------
    name
        What it is called.
    read
        Called with a place and the options of its storage.
    picks
        What of a picture it returns: see the members of `Pictures`.
    flips
        Which replies it checks. Sidecars are read by Polars, which compares no checksums, and may
        end the process over a page whose bits are others.
    """

    name: str
    read: Callable[[str, Options], Pictures]
    picks: Callable[[Pictures], Pictures]
    flips: str = r"\.tar|\.json"


READERS = [
    Reader("scan", scanned, lambda rows: [(it[0], it[1], None) for it in rows]),
    Reader("fetch_images", fetched, lambda rows: rows),
    Reader("read_batches", batched, lambda rows: rows),
    Reader("verify", verified, lambda _: [], flips=""),
]


def rules(
    faults: list[dict[str, Any]], reader: Reader, only: str, log: list[Exchange]
) -> Iterator[Rule]:
    """Yield each fault at each request that an undisturbed reader makes."""
    for fault in faults:
        target = only or (reader.flips if fault["kind"] == "flip" else "")
        for at in range(1, sum(bool(re.search(target, it.target)) for it in log) + 1):
            yield Rule(at=at, target=target, **fault)


def hurt(
    made: Bench, reader: Reader, objects: Objects, faults: list[dict[str, Any]], only: str = ""
) -> Iterator[Trial]:
    """Yield trials that let each fault happen at each request of a reader."""
    url, answer = made.url(made.new(objects)), reader.picks(expected(objects))
    with made.proxy.injecting() as log:
        assert reader.read(url, made.options(timeout=TIMEOUT)) == answer, reader.name
    for rule in rules(faults, reader, only, log):
        yield functools.partial(hit, reader, url, answer, rule)


def hit(
    reader: Reader, url: str, answer: Pictures, rule: Rule, made: Bench, figures: Figures
) -> None:
    """Let one fault happen to a reader, and judge what it returns."""
    trial, found, told = f"{reader.name}, {rule.kind} {rule.status} {rule.at}", answer, ""
    with made.proxy.injecting(rule):
        try:
            found = reader.read(url, made.options(timeout=TIMEOUT))
        except (ArrowimgError, pl.exceptions.PolarsError, OSError) as error:
            told = f"{type(error).__name__}: {error}"
    figures.injected[rule.kind] += rule.hits > 0
    if found != answer:
        figures.wrong.append(trial)
    # A bit that was turned is told, since asking again might tell the same.
    if told and rule.kind != "flip":
        figures.unresolved.append(f"{trial}: {told}")


def unchecked(url: str, options: Options) -> Pictures:
    """Fetch without comparing checksums."""
    frame = arrowimg.scan(url, **given(options)).collect()
    pictures = arrowimg.fetch_images(frame, check=False, **given(options))
    assert isinstance(pictures, pl.DataFrame)
    return [(row["image_id"], row["label"], row["image_data"]) for row in pictures.to_dicts()]


def flips_that_pass(made: Bench, objects: Objects) -> int:
    """Return how often a reader that compares no checksums returns other pictures."""
    reader = Reader("unchecked", unchecked, lambda rows: rows)
    trials = hurt(made, reader, objects, [{"kind": "flip", "nbytes": 700}], r"\.tar")
    return len(side_by_side(made, trials).wrong)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    made = operations(tmp_path_factory.mktemp("operations"))
    return next(it.after for it in made if it.name == "dataset")


def test_a_fault_at_any_request_to_a_tar_is_met_or_told(
    servers: Servers, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench(servers, "moto") as made:
        figures = side_by_side(made, hurt(made, READERS[1], objects, FAULTS, r"\.tar"))
        control = flips_that_pass(made, objects)

    tell(capsys, figures.line("readers on moto", f"{control} wrong"))
    figures.check()
    assert control > 0, "the control was not caught: the check proves nothing"


@pytest.mark.store_faults
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["moto", "seaweedfs", "azurite", "gcs"])
def test_faults_of_every_reader_are_met_or_told(
    servers: Servers, objects: Objects, kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench(servers, kind) as made:
        trials = [hurt(made, reader, objects, [*FAULTS, *STALLS]) for reader in READERS]
        figures = side_by_side(made, itertools.chain(*trials))
        control = flips_that_pass(made, objects)

    tell(capsys, figures.line(f"readers on {kind}", f"{control} wrong"))
    figures.check()
    assert control > 0, "the control was not caught: the check proves nothing"
    assert figures.injected.total() >= 100
