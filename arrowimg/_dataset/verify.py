"""Verify: every shard against its sidecar, every sidecar against itself and the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from arrowimg._core.checksums import checksum
from arrowimg._core.option_checks import check_option
from arrowimg._dataset.folder import find_sidecars, read_manifest
from arrowimg._dataset.index.formats import indexes_with
from arrowimg._dataset.progress import shards_with_progress
from arrowimg._dataset.report import Damage, DamageKind, Depth, Report, bounded
from arrowimg._dataset.sidecars import ListedShard, parse_sidecar
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
from arrowimg._format.tar_reader import TarMember, read_members
from arrowimg._images.codec.decode import decode_rgb
from arrowimg._storage.names import is_file_name
from arrowimg._storage.open import open_storage
from arrowimg.errors import ManifestError, Problem

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from arrowimg._format.manifest import Manifest, ShardEntry
    from arrowimg._format.sidecar import Footer
    from arrowimg._storage.base import Storage


def verify(
    output_dir: str | os.PathLike[str],
    depth: Depth = "checksums",
    *,
    progress: bool | None = None,
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

    Raises
    ------
    ManifestError
        When there is neither a manifest nor a sidecar, or the manifest cannot be read.
    """
    check_option(depth in get_args(Depth), "depth", ", ".join(map(repr, get_args(Depth))), depth)
    storage = open_storage(output_dir)
    manifest = read_manifest(storage)
    names = storage.names()
    sidecars = find_sidecars(storage, names)
    if manifest is None and not sidecars:
        raise ManifestError(str(output_dir), "a manifest or sidecars (*.parquet)", "neither")
    listed = sidecars if manifest is None else [entry.parquet for entry in manifest.shards]
    damages: list[Damage] = list(_check_manifest(manifest)) if manifest else []
    entries = {entry.parquet: entry for entry in manifest.shards} if manifest else {}
    shards, ids = list[ListedShard](), list[tuple[str, list[str]]]()
    for name in shards_with_progress(storage, listed, progress=progress):
        damages += bounded(_check_shard(storage, name, entries.get(name), depth, shards, ids))
    damages += _check_batches(shards) if manifest is None else []
    damages += bounded(_check_ids(ids))
    return Report(
        path=str(output_dir),
        depth=depth,
        num_shards=len(shards),
        num_images=sum(shard.footer.num_images for shard in shards),
        num_rows=sum(shard.footer.num_rows for shard in shards),
        damages=damages,
        notices=_unneeded(names, sidecars, listed, shards),
    )


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
            data = memoryview(file.read())
        with parse_sidecar(data, name) as sidecar:
            footer, rows = sidecar.footer, sidecar.file.read(_COLUMNS).select(_COLUMNS).to_pylist()
    except FileNotFoundError:
        yield Damage(name, None, DamageKind.MISSING, "the manifest lists it")
        return
    except (ManifestError, OSError) as error:
        yield Damage(name, None, DamageKind.UNREADABLE, str(error).splitlines()[0])
        return
    shards.append(ListedShard(storage, name, footer, len(rows)))
    ids.append((name, [row["image_id"] for row in rows if row["image_id"] is not None]))
    yield from _check_sidecar(name, footer, data, rows, entry, depth)
    foreign = [tar for tar in footer.tar_checksums if not is_file_name(tar)]
    if foreign:
        # Nothing outside the folder is opened, whatever a sidecar says.
        yield Damage(name, None, DamageKind.NAME, f"it names {foreign[0]!r}, which is no file name")
        return
    yield from _check_tar(storage, footer, rows, depth)
    if footer.quarantine_file is not None:
        nbytes, stated = footer.quarantine_nbytes or 0, footer.quarantine_checksum or ""
        yield from _check_file(storage, footer.quarantine_file, nbytes, stated, footer, depth)


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


def _check_sidecar(
    name: str,
    footer: Footer,
    data: memoryview,
    rows: list[dict[str, Any]],
    entry: ShardEntry | None,
    depth: Depth,
) -> Iterator[Damage]:
    num_errors = sum(row["error"] is not None for row in rows)
    counted = (len(rows), len(rows) - num_errors, num_errors)
    stated = (footer.num_rows, footer.num_images, footer.num_errors)
    if counted != stated:
        detail = f"rows, images, errors: {stated} stated, {counted} there"
        yield Damage(name, None, DamageKind.COUNT, detail)
    if footer.tar_file != tar_name(shard_of(name)):
        yield Damage(name, None, DamageKind.NAME, f"it belongs to {footer.tar_file}")
    if any(row["tar_file"] != footer.tar_file for row in rows):
        yield Damage(name, None, DamageKind.NAME, f"rows that are not of {footer.tar_file}")
    if depth != "quick" and not holds_own_checksum(data):
        yield Damage(name, None, DamageKind.CHECKSUM, "not the bytes that were written")
    if entry is not None:
        yield from _check_entry(name, footer, data, entry, depth)


def _check_entry(
    name: str, footer: Footer, data: memoryview, entry: ShardEntry, depth: Depth
) -> Iterator[Damage]:
    if len(data) != entry.parquet_nbytes:
        detail = f"{entry.parquet_nbytes:,} bytes in the manifest, {len(data):,} there"
        yield Damage(name, None, DamageKind.SIZE, detail)
    stated = (entry.tar, entry.tar_nbytes, entry.tar_checksum, entry.num_images, entry.num_rows)
    found = (
        footer.tar_file,
        footer.tar_nbytes,
        footer.tar_checksum,
        footer.num_images,
        footer.num_rows,
    )
    if stated != found:
        detail = f"the manifest says {stated}, the sidecar {found}"
        yield Damage(name, None, DamageKind.COUNT, detail)
    if depth != "quick":
        actual = checksum(data, footer.checksum_name).hex()
        if actual != entry.parquet_checksum:
            detail = f"{entry.parquet_checksum} in the manifest, {actual} there"
            yield Damage(name, None, DamageKind.CHECKSUM, detail)


def _check_tar(
    storage: Storage, footer: Footer, rows: list[dict[str, Any]], depth: Depth
) -> Iterator[Damage]:
    name = footer.tar_file
    damages = list(
        _check_file(storage, name, footer.tar_nbytes, footer.tar_checksum, footer, depth)
    )
    yield from damages
    if depth == "quick" or any(damage.kind == DamageKind.MISSING for damage in damages):
        return
    with storage.open(name) as file:
        data = memoryview(file.read())
    members = {}
    for found in read_members(data):
        if isinstance(found, TarMember):
            members[found.offset] = found
        else:
            yield Damage(name, None, DamageKind.TAR, found)
    for row in rows:
        if row["error"] is None:
            yield from _check_member(name, row, members, data, footer, depth)


def _check_file(
    storage: Storage, name: str, nbytes: int, stated: str, footer: Footer, depth: Depth
) -> Iterator[Damage]:
    try:
        with storage.open(name) as file:
            found_nbytes = file.seek(0, 2)
    except FileNotFoundError:
        yield Damage(name, None, DamageKind.MISSING, "its sidecar names it")
        return
    if found_nbytes != nbytes:
        detail = f"{nbytes:,} bytes stated, {found_nbytes:,} there"
        yield Damage(name, None, DamageKind.SIZE, detail)
    if depth != "quick":
        found = storage.describe(name, footer.checksum_name).checksum
        if found != stated:
            yield Damage(name, None, DamageKind.CHECKSUM, f"{stated} stated, {found} there")


def _check_member(
    tar: str,
    row: dict[str, Any],
    members: dict[int, TarMember],
    data: memoryview,
    footer: Footer,
    depth: Depth,
) -> Iterator[Damage]:
    name, offset, size = row["member_name"], row["offset"], row["size"]
    member = members.get(offset)
    if member is None or (member.name, member.size) != (name, size):
        found = "none" if member is None else f"{member.name} of {member.size:,} bytes"
        detail = f"{size} bytes at {offset} stated, {found} there"
        yield Damage(tar, name, DamageKind.MEMBER, detail)
        return
    picture = data[offset : offset + size]
    if checksum(picture, footer.checksum_name) != row["checksum"]:
        yield Damage(tar, name, DamageKind.CHECKSUM, "not the bytes that were written")
    elif depth == "decode":
        decoded = decode_rgb(picture)
        if isinstance(decoded, Problem):
            yield Damage(tar, name, DamageKind.PICTURE, decoded.found)
        elif decoded.shape[:2] != (row["height"], row["width"]):
            detail = f"{row['height']} x {row['width']} pixels stated, {decoded.shape[:2]} there"
            yield Damage(tar, name, DamageKind.PICTURE, detail)


def _check_batches(shards: list[ListedShard]) -> Iterator[Damage]:
    """Find shards that their batch had and that are gone as a whole."""
    present = {shard.sidecar for shard in shards}
    expected = {}
    for shard in shards:
        base_name = batch_of(shard_of(shard.sidecar))
        if base_name is not None and shard.footer.batch_shards is not None:
            expected[base_name] = shard.footer.batch_shards
    for base_name, num_shards in expected.items():
        for number in range(num_shards):
            name = sidecar_name(batch_shard_name(base_name, number))
            if name not in present:
                detail = f"one of the {num_shards:,} shards of its batch"
                yield Damage(name, None, DamageKind.MISSING, detail)


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
