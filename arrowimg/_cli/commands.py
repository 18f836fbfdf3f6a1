"""The commands: values to calls, results to text. Each imports what it needs, no more."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from arrowimg._cli.text import (
    as_json,
    closing_text,
    counted,
    file_group_text,
    garbage_text,
    inspection_text,
    report_text,
)
from arrowimg.errors import printable

if TYPE_CHECKING:
    import argparse

    from arrowimg._dataset.report import Depth
    from arrowimg._reshard.options import ReshardKeywords
    from arrowimg._storage.adopted import Adopted
    from arrowimg._write.file_group import FileGroupTask


def write(parsed: argparse.Namespace) -> int:
    """Write one source, or several, one after the other."""
    import logging

    from arrowimg._images.options import JpegOptions
    from arrowimg._write.source_writer import write_shards

    # What was passed over is in the closing lines.
    logging.getLogger("arrowimg.sources").setLevel(logging.ERROR)
    started = time.perf_counter()
    jpeg = JpegOptions(quality=parsed.quality, subsampling=parsed.subsampling)
    group = write_shards(
        parsed.sources if len(parsed.sources) > 1 else parsed.sources[0],
        parsed.out,
        parsed.images_per_tar,
        parsed.metadata,
        not parsed.keep_image_data,
        on=parsed.on,
        captions=parsed.captions,
        labels=parsed.labels,
        rename=dict(parsed.rename),
        drop=parsed.drop,
        reserved_prefix=parsed.reserved_prefix,
        split=dict(parsed.split) if parsed.split else None,
        split_by=parsed.split_by,
        progress=False if parsed.quiet else None,
        jpeg=jpeg,
        image_column=parsed.image_column,
        images=dict(parsed.image),
        keep=parsed.keep,
        on_error=parsed.on_error,
        encode_threads=parsed.threads,
        members=dict(parsed.members),
        max_bytes_per_tar=parsed.max_bytes_per_tar,
        checksum=parsed.checksum,
        reencode=parsed.reencode,
        if_exists=parsed.if_exists,
        keep_quarantined=parsed.keep_quarantined,
        max_error_fraction=parsed.max_error_fraction,
        storage_options=storage_options_of(parsed),
        workers=parsed.workers,
    )
    return _say_file_group(group, parsed, started)


def reshard(parsed: argparse.Namespace) -> int:
    """Copy a dataset, or some of it."""
    from arrowimg._reshard.reshard import reshard as copy

    started = time.perf_counter()
    group = copy(
        _place(parsed, parsed.source),
        parsed.out,
        parsed.where,
        parsed.images_per_tar,
        parsed.metadata,
        on=parsed.on,
        split=dict(parsed.split) if parsed.split else None,
        split_by=parsed.split_by,
        shuffle_seed=parsed.shuffle_seed,
        workers=parsed.workers,
        progress=False if parsed.quiet else None,
        storage_options=storage_options_of(parsed),
        **_copy_options(parsed),
    )
    return _say_file_group(group, parsed, started)


def merge(parsed: argparse.Namespace) -> int:
    """Copy several datasets into one."""
    from arrowimg._reshard.reshard import merge as copy

    started, tars = time.perf_counter(), dict(parsed.tars_of)
    group = copy(
        [_with_tars(source, tars.get(source)) for source in parsed.sources],
        parsed.out,
        parsed.images_per_tar,
        progress=False if parsed.quiet else None,
        storage_options=storage_options_of(parsed),
        workers=parsed.workers,
        **_copy_options(parsed),
    )
    return _say_file_group(group, parsed, started)


def demo(parsed: argparse.Namespace) -> int:
    """Write real photographs."""
    from arrowimg._cli.demo import DemoImages
    from arrowimg._write.source_writer import write_shards

    started = time.perf_counter()
    group = write_shards(
        DemoImages(parsed.num_images),
        parsed.out,
        parsed.images_per_tar,
        progress=False if parsed.quiet else None,
        members={"txt": "caption", "json": ["caption", "score", "captured_at"]},
        storage_options=storage_options_of(parsed),
    )
    return _say_file_group(group, parsed, started)


def inspect(parsed: argparse.Namespace) -> int:
    """Show what a folder holds."""
    from arrowimg._dataset.inspect import inspect_dataset

    place, told = _place(parsed, parsed.out), storage_options_of(parsed)
    inspection = inspect_dataset(place, parsed.rows, storage_options=told)
    if parsed.json:
        print(as_json(inspection))
        return 0
    print(inspection_text(inspection, _plot(parsed) if inspection.shards else []))
    return 0


def _plot(parsed: argparse.Namespace) -> list[str]:
    """Return how columns are spread: on a terminal, or where it was asked for."""
    from arrowimg._cli.plot import plot_lines

    is_wanted = sys.stdout.isatty() if parsed.plot is None else parsed.plot
    return plot_lines(_place(parsed, parsed.out), storage_options_of(parsed)) if is_wanted else []


def view(parsed: argparse.Namespace) -> int:
    """Make a page that shows a dataset."""
    import webbrowser
    from pathlib import Path

    from arrowimg._dataset.view.view import view as show

    started = time.perf_counter()
    name = parsed.out.rstrip("/").rpartition("/")[2].strip(".") or Path.cwd().name
    output = parsed.output or f"{name}-view.html"
    page = show(
        _place(parsed, parsed.out),
        output,
        against=parsed.against,
        where=parsed.where,
        sort=parsed.sort,
        sample=parsed.sample,
        seed=parsed.seed,
        thumbnail=parsed.thumbnail,
        max_bytes=parsed.max_bytes,
        storage_options=storage_options_of(parsed),
    )
    print(printable(output))
    say_closing(parsed, counted(page.num_pictures, "picture"), None, started, "verify")
    if parsed.open:
        webbrowser.open(Path(output).resolve().as_uri())
    return 0


def verify(parsed: argparse.Namespace) -> int:
    """Compare a folder with its sidecars."""
    from arrowimg._dataset.verify import verify as check

    started = time.perf_counter()
    depth: Depth = parsed.depth or "checksums"
    report = check(
        _place(parsed, parsed.out),
        depth,
        progress=False if parsed.quiet else None,
        storage_options=storage_options_of(parsed),
    )
    print(as_json(report) if parsed.json else report_text(report))
    if report.is_sound:
        say_closing(parsed, counted(report.num_images, "image"), None, started, "view")
    return 0 if report.is_sound else 1


def index(parsed: argparse.Namespace) -> int:
    """Write indexes for other tools."""
    from arrowimg._dataset.index.export import export_index

    place, told = _place(parsed, parsed.out), storage_options_of(parsed)
    paths = export_index(place, parsed.formats, storage_options=told)
    print(as_json(paths) if parsed.json else "\n".join(map(printable, paths)))
    return 0


def gc(parsed: argparse.Namespace) -> int:
    """List, or delete, what no shard needs."""
    from pathlib import Path

    from arrowimg._dataset.garbage import collect_garbage
    from arrowimg._storage.open import is_in_store
    from arrowimg.errors import ManifestError

    if not is_in_store(parsed.out) and not Path(parsed.out).is_dir():
        found = "none" if Path(parsed.out).exists() else "nothing of that name"
        expected = "a folder of shards"
        raise ManifestError(parsed.out, expected, found)
    garbage = collect_garbage(
        parsed.out,
        parsed.older_than,
        delete=parsed.delete,
        storage_options=storage_options_of(parsed),
    )
    print(as_json(garbage) if parsed.json else garbage_text(garbage, is_deleted=parsed.delete))
    return 0


def storage_options_of(parsed: argparse.Namespace) -> dict[str, str] | None:
    """Return what an object store is told."""
    return dict(parsed.storage_options) or None


def _place(parsed: argparse.Namespace, out: str) -> str | Adopted:
    """Return where a dataset is; its tars may be elsewhere."""
    return _with_tars(out, parsed.tars)


def _with_tars(out: str, tars: str | None) -> str | Adopted:
    from arrowimg._storage.adopted import Adopted

    return out if tars is None else Adopted(out, tars)


def _copy_options(parsed: argparse.Namespace) -> ReshardKeywords:
    """Return what was said; what was not is as it was recorded."""
    options: ReshardKeywords = {"if_exists": parsed.if_exists}
    if "max_bytes_per_tar" in parsed:
        options["max_bytes_per_tar"] = parsed.max_bytes_per_tar
    if "checksum" in parsed:
        options["checksum"] = parsed.checksum
    return options


def _say_file_group(group: FileGroupTask, parsed: argparse.Namespace, started: float) -> int:
    from arrowimg._dataset.inspect import error_codes

    codes = (
        error_codes(group.parquet_paths, storage_options_of(parsed))
        if group.metadata["num_errors"]
        else {}
    )
    metadata = group.metadata | {"error_codes": codes}
    files = group.data.to_pylist()
    if parsed.json:
        print(as_json({"metadata": metadata, "files": files}))
    else:
        print(file_group_text(files, metadata))
    nbytes = sum(file["nbytes"] for file in files)
    what = counted(group.num_images, "image")
    say_closing(parsed, what, nbytes, started, "view", "verify", "index")
    return 0


def say_closing(
    parsed: argparse.Namespace, what: str, nbytes: int | None, started: float, *following: str
) -> None:
    """Say on a terminal how long it took, and what may come next."""
    if sys.stderr.isatty() and not parsed.quiet:
        seconds = time.perf_counter() - started
        text = closing_text(what, nbytes, seconds, following, parsed.out)
        print(text, file=sys.stderr)
