"""Each request to an object store goes wrong in turn: no shard is torn, none is lost.

A fault of one request is not told to the caller: the store can be asked again. Writers that are
killed before or after a request leave what writing again completes.
"""

from __future__ import annotations

import functools
import itertools
import os
import signal
from typing import TYPE_CHECKING, Any, get_args

import pytest
from fault_proxy import Kind as FaultKind
from fault_proxy import Rule
from fault_tools import Writers, wait_until_stopped
from store_servers import Kind
from store_tools import (
    Bench,
    Figures,
    Operation,
    Trial,
    again,
    bench,
    count_requests,
    difference,
    hit,
    operations,
    side_by_side,
    tell,
    torn_shards,
)
from writer_program import Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store_servers import Servers

QUICK: list[dict[str, Any]] = [
    {"kind": "drop_reply"},
    {"kind": "status", "status": 500, "code": "InternalError"},
    {"kind": "status", "status": 409, "code": "ConditionalRequestConflict", "method": "PUT"},
    {"kind": "reset_request", "nbytes": 100},
]
LONG: list[dict[str, Any]] = [
    *QUICK,
    {"kind": "status", "status": 503, "code": "SlowDown"},
    {"kind": "cut_reply", "nbytes": 10},
    {"kind": "stall"},
    {"kind": "stall_reply"},
    {"kind": "stall_reply", "nbytes": 10},
    {"kind": "flip", "nbytes": 0},
    {"kind": "flip", "nbytes": 100},
]
SLOW = {"stall", "stall_reply"}
STALLED = {"stage", "dataset", "overwrite"}
"""Operations that are stalled, which takes half a second a request."""

KILLED = {"shard": 1000, "stage": 2, "dataset": 4}
"""Operations whose writers are killed, and how many pictures each puts into a tar."""

LONG_SERVERS = pytest.mark.parametrize("kind", ["moto", "seaweedfs", "azurite", "gcs"])


def rules(faults: list[dict[str, Any]], operation: Operation, num_requests: int) -> Iterator[Rule]:
    """Yield each fault at each request."""
    for fault in faults:
        if fault["kind"] in SLOW and operation.name not in STALLED:
            continue
        for at in range(1, num_requests + 1):
            yield Rule(at=at, **fault)


def hurt(bench: Bench, operation: Operation, faults: list[dict[str, Any]]) -> Iterator[Trial]:
    """Yield trials that let each fault happen at each request of an operation."""
    for rule in rules(faults, operation, count_requests(bench, operation)):
        yield functools.partial(hit, operation, rule)


def kill(operation: Operation, bench: Bench, figures: Figures) -> None:
    """Kill a writer before and after each of its requests, until one comes to its end."""
    with Writers() as writers:
        for at in itertools.count(1):
            endings = [kill_at(writers, bench, operation, kind, at, figures) for kind in KILLS]
            if not any(endings):
                return


KILLS: tuple[FaultKind, ...] = ("kill_before", "kill_after")


def kill_at(
    writers: Writers, bench: Bench, operation: Operation, kind: FaultKind, at: int, figures: Figures
) -> bool:
    """Kill a writer at a request, and write again; False where it had come to its end before."""
    prefix = bench.new()
    job = Job(
        folder=bench.url(prefix),
        writer="dataset" if operation.name == "dataset" else "stage",
        seeds=(0, 1) if operation.name == "dataset" else (0,),
        images_per_tar=KILLED[operation.name],
        options={"storage_options": bench.options()},
        stops=True,
    )
    pid = writers.start(job)
    wait_until_stopped(pid)
    rule = Rule(kind=kind, at=at, pid=pid)
    with bench.proxy.injecting(rule):
        os.kill(pid, signal.SIGCONT)
        ending = writers.wait(pid)
    trial = f"{operation.name}, {kind} {at}"
    left = bench.objects(prefix)
    figures.torn += [f"{trial}: {wrong}" for wrong in torn_shards(left)]
    if ending.error:
        figures.unresolved.append(f"{trial}: {ending}")
    # Of a dataset it is the manifest that tells that all of it was acknowledged.
    if ending.is_acknowledged and (wrong := difference(left, operation.after)):
        figures.lost.append(f"{trial}: {wrong}")
    if wrong := again(bench, prefix, operation):
        figures.not_retried.append(f"{trial}: {wrong}")
    figures.injected[kind] += ending.signal == signal.SIGKILL
    return ending.signal == signal.SIGKILL


def sidecars_first(bench: Bench, operation: Operation) -> int:
    """Return how often a writer that puts sidecars before tars leaves a torn shard."""
    names = sorted(operation.after, key=lambda name: (name.endswith(".tar"), name))
    torn = 0
    for at in range(len(names)):
        left = {name: operation.after[name] for name in names[:at]}
        torn += bool(torn_shards(bench.objects(bench.new(left))))
    return torn


@pytest.fixture(scope="module")
def todo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Operation]:
    return {it.name: it for it in operations(tmp_path_factory.mktemp("operations"))}


def test_the_kinds_of_servers_are_those_that_start() -> None:
    assert set(get_args(Kind)) == {"moto", "seaweedfs", "azurite", "gcs", "rclone"}


def test_a_fault_at_any_request_of_a_write_does_no_harm(
    servers: Servers, todo: dict[str, Operation], capsys: pytest.CaptureFixture[str]
) -> None:
    with bench(servers, "moto") as made:
        figures = side_by_side(made, hurt(made, todo["shard"], QUICK))
        control = sidecars_first(made, todo["stage"])

    tell(capsys, figures.line("faults on moto", f"{control} torn"))
    figures.check()
    assert control > 0, "the control was not caught: the check proves nothing"
    assert figures.injected.total() >= 24


def test_a_kill_at_any_request_of_a_write_does_no_harm(
    servers: Servers, todo: dict[str, Operation], capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures()
    with bench(servers, "moto") as made:
        kill(todo["shard"], made, figures)
        control = sidecars_first(made, todo["stage"])

    tell(capsys, figures.line("kills on moto", f"{control} torn"))
    figures.check()
    assert figures.injected.total() >= 14


@pytest.mark.store_faults
@pytest.mark.timeout(3000)
@LONG_SERVERS
def test_hundreds_of_faults_do_no_harm(
    servers: Servers, todo: dict[str, Operation], kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    with bench(servers, kind) as made:
        kills = [functools.partial(kill, todo[name]) for name in ("stage", "dataset")]
        faults = [hurt(made, operation, LONG) for operation in todo.values()]
        figures = side_by_side(made, itertools.chain(kills, *faults))
        control = sidecars_first(made, todo["dataset"])

    tell(capsys, figures.line(f"faults on {kind}", f"{control} torn"))
    figures.check()
    assert control > 0, "the control was not caught: the check proves nothing"
    assert figures.injected.total() >= 500
