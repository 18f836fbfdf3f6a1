"""Verify: every shard against its sidecar, every sidecar against itself and the manifest."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import IO, TYPE_CHECKING, get_args

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, Struct

from arrowimg._core.display.progress import progress_bar
from arrowimg._core.option_checks import check_option
from arrowimg._dataset.folder import find_sidecars, read_manifest
from arrowimg._dataset.index.formats import indexes_with
from arrowimg._dataset.report import Damage, DamageKind, Depth, Report, bounded
from arrowimg._dataset.row_checks import check_pictures
from arrowimg._dataset.sidecars import ListedShard, parse_sidecar
from arrowimg._dataset.tar_checks import check_file, check_tar, digest_of
from arrowimg._format.layout import picture_names
from arrowimg._format.names import (
    MANIFEST_NAME,
    README,
    FileKind,
    batch_of,
    batch_shard_name,
    kind_of,
    shard_of,
    sidecar_name,
    tar_name,
)
from arrowimg._format.parquet import holds_own_checksum
from arrowimg._storage.open import open_storage, place_as_text
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._format.manifest import Manifest, ShardEntry
    from arrowimg._format.sidecar import Footer
    from arrowimg._storage.base import Place, Storage, StorageOptions


_MISSING_NAMED = 1000


def verify(
    output_dir: Place,
    depth: Depth = "checksums",
    *,
    progress: bool | None = None,
    storage_options: StorageOptions | None = None,
) -> Report:
    """Compare every shard in a folder with its sidecar, and those with the manifest.

    Nothing is changed, extracted or executed.

    Parameters
    ----------
    output_dir
        Folder of shards, written by `write_shards`, `ShardWriter` or the stage.
    depth
        How closely to look.

        - ``"quick"``: files are there, have their sizes, can be parsed, and counts agree. Sidecars
          are read, tars are not.
        - ``"checksums"``: every byte of every tar and sidecar, every header, offset and end mark.
        - ``"decode"``: and every picture is decoded.
    progress
        True: a progress bar on stderr. None: only where stderr is a terminal.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.

    Raises
    ------
    ManifestError
        When there is neither a manifest nor a sidecar, or the manifest cannot be read.
    """
    check_option(depth in get_args(Depth), "depth", ", ".join(map(repr, get_args(Depth))), depth)
    storage = open_storage(output_dir, storage_options)
    path = str(place_as_text(output_dir, storage))
    manifest = read_manifest(storage)
    names = storage.names()
    sidecars = find_sidecars(storage, names)
    if manifest is None and not sidecars:
        raise ManifestError(path, "a manifest or sidecars (*.parquet)", "neither")
    listed = sidecars if manifest is None else [entry.parquet for entry in manifest.shards]
    damages: list[Damage] = list(_check_manifest(manifest)) if manifest else []
    entries = {entry.parquet: entry for entry in manifest.shards} if manifest else {}
    shards, ids = list[ListedShard](), list[tuple[str, list[str]]]()
    for name in _shards_with_progress(storage, listed, progress=progress):
        damages += bounded(_check_shard(storage, name, entries.get(name), depth, shards, ids))
    damages += _check_batches(shards) if manifest is None else []
    damages += bounded(_check_ids(ids))
    return Report(
        path=path,
        depth=depth,
        num_shards=len(shards),
        num_images=sum(shard.footer.num_images for shard in shards),
        num_rows=sum(shard.footer.num_rows for shard in shards),
        damages=damages,
        notices=_unneeded(names, sidecars, listed, shards),
    )


def _shards_with_progress(
    storage: Storage, sidecars: list[str], *, progress: bool | None
) -> Iterator[str]:
    """Yield each sidecar; a bar counts the bytes of its shard when the next is asked for."""
    nbytes: Counter[str] = Counter()
    for page in storage.pages():
        for file in page:
            nbytes[shard_of(file.name)] += file.nbytes
    total = sum(nbytes[shard_of(name)] for name in sidecars)
    with progress_bar(total, "B", progress) as bar:
        for name in sidecars:
            yield name
            bar.update(nbytes[shard_of(name)])


def _check_manifest(manifest: Manifest) -> Iterator[Damage]:
    for name, listed, total in (
        ("shards", len(manifest.shards), manifest.num_shards),
        ("images", sum(entry.num_images for entry in manifest.shards), manifest.num_images),
        ("rows", sum(entry.num_rows for entry in manifest.shards), manifest.num_rows),
    ):
        if listed != total:
            detail = f"{listed:,} {name} listed, {total:,} counted"
            yield Damage(MANIFEST_NAME, None, DamageKind.COUNT, detail)


def _check_shard(
    storage: Storage,
    name: str,
    entry: ShardEntry | None,
    depth: Depth,
    shards: list[ListedShard],
    ids: list[tuple[str, list[str]]],
) -> Iterator[Damage]:
    """Yield the damages of one shard; it and its ids are appended where its sidecar can be read."""
    try:
        with storage.open(name) as file:
            with parse_sidecar(file, name) as sidecar:
                footer = sidecar.footer
                pictures = [*picture_names(footer.options).values()]
                rows = sidecar.read([*_COLUMNS, *pictures])
                check_pictures(rows, footer, name)
                image_ids = rows["image_id"].drop_null().to_pylist()
                # Text that is none shows here.
                rows.select(["tar_file", "member_name", "error"]).validate(full=True)
            found = _read_bytes(file, footer, depth)
    except FileNotFoundError:
        yield Damage(name, None, DamageKind.MISSING, "the manifest lists it")
        return
    except (ManifestError, OSError) as error:
        yield Damage(name, None, DamageKind.UNREADABLE, str(error).splitlines()[0])
        return
    shards.append(ListedShard(storage, name, footer, len(rows), rows.schema))
    ids.append((name, image_ids))
    yield from _check_sidecar(name, footer, found, rows)
    if entry is not None:
        yield from _check_entry(name, footer, found, entry)
    yield from check_tar(storage, footer, rows, depth)
    if footer.quarantine_file is not None:
        nbytes, stated = footer.quarantine_nbytes or 0, footer.quarantine_checksum or ""
        yield from check_file(storage, footer.quarantine_file, nbytes, stated, footer, depth)


_COLUMNS = [
    "image_id",
    "tar_file",
    "member_name",
    "offset",
    "size",
    "width",
    "height",
    "checksum",
    "error",
]


class _Bytes(Struct, frozen=True):
    """The bytes of a sidecar; whether they are what was written, where all of them were read."""

    nbytes: int
    checksum: str | None
    is_as_written: bool


def _read_bytes(file: IO[bytes], footer: Footer, depth: Depth) -> _Bytes:
    nbytes = file.seek(0, 2)
    if depth == "quick":
        return _Bytes(nbytes, None, is_as_written=True)
    is_as_written = holds_own_checksum(file)
    file.seek(0)
    return _Bytes(nbytes, digest_of(file, footer)[0].hex(), is_as_written)


def _check_sidecar(name: str, footer: Footer, found: _Bytes, rows: pa.Table) -> Iterator[Damage]:
    num_errors = len(rows) - rows["error"].null_count
    counted = (len(rows), len(rows) - num_errors, num_errors)
    stated = (footer.num_rows, footer.num_images, footer.num_errors)
    if counted != stated:
        detail = f"rows, images, errors: {stated} stated, {counted} there"
        yield Damage(name, None, DamageKind.COUNT, detail)
    if footer.shard != shard_of(name):
        yield Damage(name, None, DamageKind.NAME, f"it belongs to {footer.tar_file}")
    if len(rows) != pc.sum(pc.equal(rows["tar_file"], footer.tar_file), min_count=0).as_py():
        yield Damage(name, None, DamageKind.NAME, f"rows that are not of {footer.tar_file}")
    if not found.is_as_written:
        yield Damage(name, None, DamageKind.CHECKSUM, "not the bytes that were written")


def _check_entry(name: str, footer: Footer, found: _Bytes, entry: ShardEntry) -> Iterator[Damage]:
    if found.nbytes != entry.parquet_nbytes:
        detail = f"{entry.parquet_nbytes:,} bytes in the manifest, {found.nbytes:,} there"
        yield Damage(name, None, DamageKind.SIZE, detail)
    listed = (entry.tar, entry.tar_nbytes, entry.tar_checksum, entry.num_images, entry.num_rows)
    stated = (
        footer.tar_file,
        footer.tar_nbytes,
        footer.tar_checksum,
        footer.num_images,
        footer.num_rows,
    )
    if listed != stated:
        detail = f"the manifest says {listed}, the sidecar {stated}"
        yield Damage(name, None, DamageKind.COUNT, detail)
    if found.checksum not in (None, entry.parquet_checksum):
        detail = f"{entry.parquet_checksum} in the manifest, {found.checksum} there"
        yield Damage(name, None, DamageKind.CHECKSUM, detail)


def _check_batches(shards: list[ListedShard]) -> Iterator[Damage]:
    """Find shards that their batch had and that are gone as a whole."""
    present = {shard.sidecar for shard in shards}
    expected = {}
    for shard in shards:
        base_name = batch_of(shard_of(shard.sidecar))
        if base_name is not None and shard.footer.batch_shards is not None:
            expected[base_name] = shard.footer.batch_shards
    for base_name, num_shards in expected.items():
        detail = f"one of the {num_shards:,} shards of its batch"
        names = (sidecar_name(batch_shard_name(base_name, it)) for it in range(num_shards))
        missing = (name for name in names if name not in present)
        # What is stated may be any number; what is there is not.
        for name in islice(missing, _MISSING_NAMED):
            yield Damage(name, None, DamageKind.MISSING, detail)
        for name in islice(missing, 1):
            yield Damage(name, None, DamageKind.MISSING, f"{detail}, and so may be more")


def _check_ids(ids: list[tuple[str, list[str]]]) -> Iterator[Damage]:
    first_seen: dict[str, str] = {}
    for name, image_ids in ids:
        for image_id in image_ids:
            if image_id in first_seen:
                detail = f"image_id {image_id!r} is in {first_seen[image_id]} too"
                yield Damage(name, None, DamageKind.DUPLICATE_ID, detail)
            first_seen.setdefault(image_id, name)


def _unneeded(
    names: list[str], sidecars: list[str], listed: list[str], shards: list[ListedShard]
) -> list[str]:
    # A listed sidecar that cannot be read is damage already; its tar is not to be taken for lost.
    names_of_shards = [shard_of(name) for name in listed]
    needed = {MANIFEST_NAME, README, *listed, *map(tar_name, names_of_shards)}
    needed |= indexes_with(names_of_shards)
    needed.update(*(shard.footer.tar_checksums for shard in shards))
    if any(shard.footer.adopted is not UNSET for shard in shards):
        # Others wrote into this folder before, and may have left what they like.
        names = [name for name in names if kind_of(name) is FileKind.TEMPORARY]
    return [f"{name}: {_what_it_is(name, sidecars)}" for name in names if name not in needed]


def _what_it_is(name: str, sidecars: list[str]) -> str:
    kind = kind_of(name)
    if kind is FileKind.TEMPORARY:
        return "a temporary file"
    if kind is FileKind.QUARANTINE:
        return "quarantined bytes that no sidecar names"
    if kind is FileKind.TAR and sidecar_name(shard_of(name)) not in sidecars:
        return "a tar that no sidecar names"
    if kind is FileKind.SIDECAR and name not in sidecars:
        return "a Parquet file that is no sidecar"
    if kind in (FileKind.TAR, FileKind.SIDECAR, FileKind.INDEX):
        return "of a shard that is not listed"
    return "not ours"
