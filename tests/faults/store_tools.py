"""Writers and readers on an object store, and a judge of what is left there.

The judge sees objects as boto3 or Microsoft's client hands them over, and takes them apart by
tarfile, PyArrow and xxhash: it knows nothing of the package.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import tarfile
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash
from writer_program import make_batch

import arrowimg

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pytest
    from fault_proxy import FaultProxy, Rule
    from store_buckets import Bucket
    from store_servers import Kind, Server, Servers

Objects = dict[str, bytes]

TEMPORARY_PREFIX = ".arrowimg-"
TIMEOUT = "500ms"
"""Of a request, for what stalls."""

SERVERS: tuple[Kind, ...] = ("moto", "seaweedfs", "azurite", "gcs")

_numbers = itertools.count()


class Bench:
    """A bucket of one server, as a client sees it through a proxy, and as others see it."""

    def __init__(self, server: Server, bucket: Bucket, name: str, proxy: FaultProxy) -> None:
        self.server, self.bucket, self.proxy, self._name = server, bucket, proxy, name

    @contextlib.contextmanager
    def twin(self) -> Iterator[Bench]:
        """Yield the same bucket behind a proxy of its own."""
        with self.server.proxy() as proxy:
            yield Bench(self.server, self.bucket, self._name, proxy)

    def new(self, before: Objects | None = None) -> str:
        """Return a prefix that nobody has used, with objects below it."""
        prefix = f"p{next(_numbers)}"
        for name, data in (before or {}).items():
            self.bucket.put(f"{prefix}/{name}", data)
        return prefix

    def url(self, prefix: str) -> str:
        """Return the address of a prefix."""
        return self.server.url(self._name, prefix)

    def options(self, **options: str) -> dict[str, str]:
        """Return what a client has to know, to come through the proxy."""
        return self.server.options(self.proxy.port, **options)

    def objects(self, prefix: str) -> Objects:
        """Return what stands below a prefix, temporary objects left out."""
        found = self.bucket.objects(f"{prefix}/")
        return {key: found[key] for key in found if not key.startswith(TEMPORARY_PREFIX)}


@contextlib.contextmanager
def bench(servers: Servers, kind: Kind) -> Iterator[Bench]:
    """Yield a bucket of its own, with a proxy before it."""
    server = servers.get(kind)
    name = f"b{uuid.uuid4().hex}"
    with contextlib.closing(server.bucket(name)) as bucket, server.proxy() as proxy:
        yield Bench(server, bucket, name, proxy)


class Figures(msgspec.Struct):
    """What came of all faults on a kind of server.

    Attributes
    ----------
    injected
        By the kind of fault.
    torn, lost, wrong
        Shards that are not whole; what was acknowledged and is not there; what was read and is not
        what was written.
    not_retried
        What was not there, each shard once, when it was written again.
    unresolved
        Faults of one request that were told to the caller, though the store could be asked again.
    """

    injected: Counter[str] = msgspec.field(default_factory=Counter)
    torn: list[str] = []
    lost: list[str] = []
    wrong: list[str] = []
    not_retried: list[str] = []
    unresolved: list[str] = []

    def add(self, other: Figures) -> None:
        """Take over what came of other faults."""
        self.injected.update(other.injected)
        for name in ("torn", "lost", "wrong", "not_retried", "unresolved"):
            getattr(self, name).extend(getattr(other, name))

    def line(self, what: str, control: str) -> str:
        """Return the figures in words."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.injected.items()))
        return (
            f"{what}: {self.injected.total():,} injected ({kinds}): {len(self.torn)} torn, "
            f"{len(self.lost)} acknowledged and lost, {len(self.wrong)} read wrongly, "
            f"{len(self.not_retried)} retries gone wrong, {len(self.unresolved)} unresolved; "
            f"control: {control}"
        )

    def check(self) -> None:
        """Fail where anything but an error came of a fault."""
        assert not self.torn, self.torn[:5]
        assert not self.lost, self.lost[:5]
        assert not self.wrong, self.wrong[:5]
        assert not self.not_retried, self.not_retried[:5]
        assert not self.unresolved, self.unresolved[:5]


Trial = Callable[[Bench, Figures], None]
"""Lets a fault happen on a bench, and notes what came of it."""


def side_by_side(made: Bench, trials: Iterable[Trial], num_lanes: int = 6) -> Figures:
    """Make trials that mostly wait side by side, each with the proxy of its lane."""
    todo, totals = iter(list(trials)), Figures()

    def run_lane() -> Figures:
        figures = Figures()
        with made.twin() as twin:
            for trial in todo:
                trial(twin, figures)
        return figures

    with ThreadPoolExecutor(num_lanes) as pool:
        for lane in [pool.submit(run_lane) for _ in range(num_lanes)]:
            totals.add(lane.result())
    return totals


def torn_shards(objects: Objects) -> list[str]:
    """Return what is wrong with the shards that a reader of sidecars sees."""
    sidecars = [name for name in sorted(objects) if name.endswith(".parquet")]
    return [wrong for name in sidecars if (wrong := _torn(objects, name))]


def _torn(objects: Objects, name: str) -> str:
    try:
        file = pq.ParquetFile(pa.BufferReader(objects[name]))
        table = file.read()
    except (pa.ArrowException, OSError) as error:
        return f"{name}: {error}"
    footer = msgspec.json.decode(file.metadata.metadata[b"arrowimg"])
    tar = objects.get(footer["tar_file"])
    if tar is None:
        return f"{footer['tar_file']}: missing"
    if len(tar) != footer["tar_nbytes"]:
        return f"{footer['tar_file']}: {len(tar)} bytes, {footer['tar_nbytes']} stated"
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        members = {it.name: opened.extractfile(it) for it in opened.getmembers()}
        found = {key: xxhash.xxh3_128_digest(file.read()) for key, file in members.items() if file}
    rows = table.filter(pc.is_valid(table["member_name"]))
    stated = dict(zip(rows["member_name"].to_pylist(), rows["checksum"].to_pylist(), strict=True))
    return "" if found == stated else f"{footer['tar_file']}: other pictures than stated"


class Operation(NamedTuple):
    """Something that writes, and what must be there once it was done.

    Attributes
    ----------
    name
        What it is called.
    write
        Called with a place and with the options of its storage, if any.
    before
        What stands there at first.
    after
        What stands there when it is done.
    """

    name: str
    write: Callable[[str, dict[str, str] | None], object]
    before: Objects
    after: Objects


def operations(folder: Path) -> list[Operation]:
    """Return operations; what each leaves, it left in a folder of this machine."""
    empty: Objects = {}
    other = _written(folder / "other", _write_other, empty)
    tar_only = {"images-000000.tar": b"of a dataset that was begun"}
    todo: list[tuple[str, Callable[[str, dict[str, str] | None], object], Objects]] = [
        ("shard", write_shard, empty),
        ("stage", write_stage, empty),
        ("dataset", write_dataset, empty),
        ("quarantine", write_quarantine, empty),
        ("overwrite", _overwrite, {**other, **tar_only}),
        ("resumed", write_dataset, empty),
        ("reshard", _resharding(str(folder / "dataset")), empty),
    ]
    made = []
    for name, write, before in todo:
        after = _written(folder / name, write, before)
        if name == "resumed":
            # As a writer leaves it that died between its second tar and the sidecar of it.
            left = ("images-000000.tar", "images-000000.parquet", "images-000001.tar")
            before = {key: after[key] for key in left}  # noqa: PLW2901  # known only now
        made.append(Operation(name, write, before, after))
    return made


def _written(
    folder: Path, write: Callable[[str, dict[str, str] | None], object], before: Objects
) -> Objects:
    folder.mkdir(exist_ok=True)
    for name, data in before.items():
        (folder / name).write_bytes(data)
    write(str(folder), None)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def given(options: dict[str, str] | None) -> dict[str, Any]:
    """Return the argument that tells an operation how to reach a store."""
    return {} if options is None else {"storage_options": options}


def write_shard(place: str, options: dict[str, str] | None) -> object:
    """Write one batch of one shard."""
    stage = arrowimg.ImageWriterStage(place, encode_threads=1, **given(options))
    return stage.process(make_batch(0))


def write_stage(place: str, options: dict[str, str] | None) -> object:
    """Write one batch of three shards."""
    stage = arrowimg.ImageWriterStage(place, 2, encode_threads=1, **given(options))
    return stage.process(make_batch(0))


def write_dataset(place: str, options: dict[str, str] | None) -> object:
    """Write a dataset of three shards."""
    with arrowimg.ShardWriter(place, 4, encode_threads=1, **given(options)) as writer:
        for seed in (0, 1):
            writer.write(make_batch(seed))
    return writer.file_group


def write_quarantine(place: str, options: dict[str, str] | None) -> object:
    """Write one shard that has a quarantine tar."""
    batch = make_batch(3).data
    pictures = pa.array([b"no picture", *([PICTURE] * (batch.num_rows - 1))])
    table = batch.select(["image_id", "label"]).append_column("image_data", pictures)
    stage = arrowimg.ImageWriterStage(
        place, on_error="quarantine", keep_quarantined=True, **given(options)
    )
    return stage.process(arrowimg.ImageBatch.from_table(table))


def _write_other(place: str, options: dict[str, str] | None) -> object:
    with arrowimg.ShardWriter(place, 3, encode_threads=1, **given(options)) as writer:
        writer.write(make_batch(7))
    return writer.file_group


def _overwrite(place: str, options: dict[str, str] | None) -> object:
    with arrowimg.ShardWriter(
        place, 4, encode_threads=1, if_exists="overwrite", **given(options)
    ) as writer:
        for seed in (0, 1):
            writer.write(make_batch(seed))
    return writer.file_group


def _resharding(source: str) -> Callable[[str, dict[str, str] | None], object]:
    def write(place: str, options: dict[str, str] | None) -> object:
        return arrowimg.reshard(
            source, place, images_per_tar=5, shuffle_seed=0, progress=False, **given(options)
        )

    return write


def _picture() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (24, 16), (200, 30, 90)).save(file, "JPEG")
    return file.getvalue()


PICTURE = _picture()


def hit(operation: Operation, rule: Rule, bench: Bench, figures: Figures) -> None:
    """Let one fault happen to an operation, judge what is left, and write it once more."""
    trial = (
        f"{operation.name}, {rule.kind} {rule.status if rule.kind == 'status' else ''} {rule.at}"
    )
    prefix = bench.new(operation.before)
    url, told = bench.url(prefix), ""
    with bench.proxy.injecting(rule):
        try:
            operation.write(url, bench.options(timeout=TIMEOUT))
        except Exception as error:  # noqa: BLE001  # whatever it raises is a finding
            told = f"{type(error).__name__}: {error}"
    figures.injected[rule.kind] += rule.hits > 0
    left = bench.objects(prefix)
    figures.torn += [f"{trial}: {wrong}" for wrong in torn_shards(left)]
    # A bit that was turned may look like what another wrote: that is told, and written again.
    if told and rule.kind != "flip":
        figures.unresolved.append(f"{trial}: {told}")
    if not told and left != operation.after:
        figures.lost.append(f"{trial}: {difference(left, operation.after)}")
    if wrong := again(bench, prefix, operation):
        figures.not_retried.append(f"{trial}: {wrong}")


def again(bench: Bench, prefix: str, operation: Operation) -> str:
    """Do an operation once more, undisturbed; returns what is wrong then, or ``""``."""
    try:
        operation.write(bench.url(prefix), bench.options())
    except Exception as error:  # noqa: BLE001  # whatever it raises is a finding
        return f"{type(error).__name__}: {error}"
    return difference(bench.objects(prefix), operation.after)


def difference(found: Objects, expected: Objects) -> str:
    """Return which objects are others than expected, or ``""``."""
    names = sorted(found.keys() | expected.keys())
    odd = [name for name in names if found.get(name) != expected.get(name)]
    return f"{odd} missing, too many or of other bytes" if odd else ""


def count_requests(bench: Bench, operation: Operation) -> int:
    """Return how many requests an undisturbed operation makes."""
    prefix = bench.new(operation.before)
    with bench.proxy.injecting() as log:
        operation.write(bench.url(prefix), bench.options(timeout=TIMEOUT))
    wrong = difference(bench.objects(prefix), operation.after)
    assert not wrong, f"{operation.name}: {wrong}"
    return len(log)


def tell(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Print a line of figures, whatever pytest captures."""
    from fault_tools import say

    say(capsys, line)
