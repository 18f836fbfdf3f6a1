"""Writers of one object store race, and some stand still while others finish.

Twins write the same pictures and all succeed. Strangers write others under the same names: one
wins, the others are told. A zombie is stopped at a request, and goes on when the dataset is there.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from fault_proxy import Rule
from fault_tools import Writers, has_not_ended, wait_until_stopped
from store_tools import (
    Bench,
    Objects,
    bench,
    difference,
    given,
    tell,
    torn_shards,
)
from writer_program import Ending, Job, make_batch, make_stage

from arrowimg.errors import ShardConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from store_servers import Kind, Servers

NUM_WRITERS = 4
CREATED = {200, 201}
SERVERS = pytest.mark.parametrize("kind", ["moto", "seaweedfs", "azurite", "gcs"])


class Figures(msgspec.Struct):
    """What came of all races, or of all zombies."""

    races: int = 0
    created_twice: list[str] = []
    torn: list[str] = []
    wrong: list[str] = []
    conflicts: int = 0

    def line(self, what: str) -> str:
        """Return the figures in words."""
        return (
            f"{what}: {self.races}: {len(self.created_twice)} objects created twice, "
            f"{len(self.torn)} torn, {len(self.wrong)} told wrongly or lost, "
            f"{self.conflicts} conflicts told"
        )

    def check(self) -> None:
        """Fail where a race was not won by one."""
        assert not self.created_twice, self.created_twice[:5]
        assert not self.torn, self.torn[:5]
        assert not self.wrong, self.wrong[:5]


def race(writers: Writers, made: Bench, prefix: str, pictures: list[int]) -> list[Ending]:
    """Let writers of one batch begin at once, each with pictures of its own."""
    job = Job(
        folder=made.url(prefix), options={"storage_options": made.options()}, stops=True, seeds=(0,)
    )
    pids = [writers.start(msgspec.structs.replace(job, pictures=it)) for it in pictures]
    for pid in pids:
        wait_until_stopped(pid)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return [writers.wait(pid) for pid in pids]


def run_races(
    writers: Writers, made: Bench, references: dict[int, Objects], rounds: int
) -> Figures:
    figures = Figures()
    for at in range(rounds):
        for pictures in ([0] * NUM_WRITERS, list(range(NUM_WRITERS))):
            is_of_twins = len(set(pictures)) == 1
            trial, prefix = f"{'twins' if is_of_twins else 'strangers'} {at}", made.new()
            with made.proxy.injecting() as log:
                endings = race(writers, made, prefix, pictures)
            puts = Counter(it.target for it in log if it.method == "PUT" and it.status in CREATED)
            figures.created_twice += [
                key for key, count in puts.items() if count > 1 and ".arrowimg-" not in key
            ]
            left = made.objects(prefix)
            figures.torn += [f"{trial}: {it}" for it in torn_shards(left)]
            figures.races += 1
            judge(figures, trial, pictures, endings, left, references)
    return figures


def judge(
    figures: Figures,
    trial: str,
    pictures: list[int],
    endings: list[Ending],
    left: Objects,
    references: dict[int, Objects],
) -> None:
    """All twins succeed; of strangers one does, and the others are told of a conflict."""
    won = [it for it, ending in zip(pictures, endings, strict=True) if ending.is_acknowledged]
    conflicts = sum(ending.error == "ShardConflictError" for ending in endings)
    figures.conflicts += conflicts
    expected = len(pictures) if len(set(pictures)) == 1 else 1
    if len(won) != expected or conflicts != len(pictures) - expected:
        figures.wrong.append(f"{trial}: {endings}")
    elif wrong := difference(left, references[won[0]]):
        figures.wrong.append(f"{trial}: {wrong}")


def raise_zombies(writers: Writers, made: Bench, references: dict[int, Objects]) -> Figures:
    """Stop a writer at each of its requests, let another write, and let the first go on."""
    figures = Figures()
    with made.proxy.injecting() as log:
        race(writers, made, made.new(), [0])
    for at in range(1, len(log) + 1):
        for pictures in (0, 1):
            prefix, told = made.new(), list[str]()
            left_first = list[Objects]()

            def meanwhile(prefix: str = prefix, pictures: int = pictures) -> None:
                told.append(write(made, prefix, pictures))  # noqa: B023  # called in this round
                left_first.append(made.objects(prefix))  # noqa: B023  # called in this round

            zombie = stop_at(writers, made, prefix, at, meanwhile)
            left, trial = made.objects(prefix), f"pictures {pictures}, request {at}"
            figures.races += 1
            figures.torn += [f"{trial}: {it}" for it in torn_shards(left)]
            figures.conflicts += (told[0] + zombie.error).count("ShardConflictError")
            if not told[0] and left_first[0] != left:
                figures.wrong.append(f"{trial}: what was committed has changed")
            won = [0] * zombie.is_acknowledged + [pictures] * (not told[0])
            if len(won) != (2 if pictures == 0 else 1) or difference(left, references[won[0]]):
                figures.wrong.append(f"{trial}: {zombie}, {told}, {sorted(left)}")
    return figures


def stop_at(
    writers: Writers, made: Bench, prefix: str, at: int, meanwhile: Callable[[], object]
) -> Ending:
    """Stop a writer once it has sent a request, do something, and let it go on to its end."""
    options = {"storage_options": made.options()}
    job = Job(folder=made.url(prefix), options=options, stops=True, seeds=(0,), pictures=0)
    pid = writers.start(job)
    wait_until_stopped(pid)
    rule = Rule(kind="call_before", at=at, call=lambda: os.kill(pid, signal.SIGSTOP))
    with made.proxy.injecting(rule):
        os.kill(pid, signal.SIGCONT)
        while not rule.hits and has_not_ended(pid):
            time.sleep(0.001)
        assert rule.hits, f"the writer made no request {at}"
        wait_until_stopped(pid)
        meanwhile()
        os.kill(pid, signal.SIGCONT)
        return writers.wait(pid)


def write(made: Bench, prefix: str, pictures: int) -> str:
    """Write the batch that all write; returns the name of the error that came of it, or ``""``."""
    stage = make_stage(made.url(prefix), **given(made.options()))
    try:
        stage.process(make_batch(0, pictures=pictures))
    except ShardConflictError as error:
        return type(error).__name__
    return ""


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Objects]:
    """Return what each writer leaves by itself, by what its pictures are made of."""
    found = {}
    for pictures in range(NUM_WRITERS):
        folder = tmp_path_factory.mktemp("reference")
        make_stage(folder).process(make_batch(0, pictures=pictures))
        found[pictures] = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found


def test_of_writers_that_race_one_creates_each_object(
    servers: Servers,
    writers: Writers,
    references: dict[int, Objects],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bench(servers, "moto") as made:
        figures = run_races(writers, made, references, 2)

    tell(capsys, figures.line("races on moto"))
    figures.check()
    assert figures.conflicts == 2 * (NUM_WRITERS - 1)


@pytest.mark.store_faults
@pytest.mark.timeout(900)
@SERVERS
def test_of_a_hundred_races_each_has_one_winner(
    servers: Servers,
    writers: Writers,
    references: dict[int, Objects],
    kind: Kind,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bench(servers, kind) as made:
        figures = run_races(writers, made, references, 50)

    tell(capsys, figures.line(f"races on {kind}"))
    figures.check()
    assert figures.races == 100


@pytest.mark.parametrize(
    "kind",
    [
        "moto",
        *(
            pytest.param(it, marks=pytest.mark.store_faults)
            for it in ("seaweedfs", "azurite", "gcs")
        ),
    ],
)
def test_a_writer_that_goes_on_late_changes_nothing(
    servers: Servers,
    writers: Writers,
    references: dict[int, Objects],
    kind: Kind,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with bench(servers, kind) as made:
        figures = raise_zombies(writers, made, references)

    tell(capsys, figures.line(f"zombies on {kind}"))
    figures.check()
    assert figures.races >= 10
