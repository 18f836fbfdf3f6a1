"""Adopt: sidecars and a manifest for tars that others wrote; each is read once, none is changed."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, get_args

from msgspec import UNSET

from arrowimg._core.display.progress import progress_bar
from arrowimg._core.option_checks import check_option
from arrowimg._core.threads import map_on_threads, usable_cores
from arrowimg._core.version import ADOPTED_VERSION, writer_versions
from arrowimg._dataset.adopt.find import find_tars
from arrowimg._dataset.adopt.options import Clashes, IdsOf, IfAdopted, tar_options
from arrowimg._dataset.adopt.report import Adoption
from arrowimg._dataset.adopt.shard import AdoptedShard, Adopting
from arrowimg._dataset.adopt.widen import widest_schema, with_texts
from arrowimg._dataset.duplicates import HashPartitions
from arrowimg._dataset.folder import is_foreign_manifest, read_manifest
from arrowimg._format.manifest import AdoptedTars, Manifest
from arrowimg._format.names import MANIFEST_NAME, adopted_shard, sidecar_name
from arrowimg._storage.commit import retry_once
from arrowimg._storage.open import open_storage, options_for
from arrowimg.errors import DatasetConflictError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arrowimg._core.checksums import ChecksumName
    from arrowimg._dataset.adopt.find import Tars
    from arrowimg._storage.base import FileStat, Place, Storage, StorageOptions

logger = logging.getLogger("arrowimg.adopt")

_REMOTE_THREADS = 16
_IF_EXISTS = ", ".join(map(repr, get_args(IfAdopted)))
_SEVERAL_TARS = 'ids that are in several tars, which ids="path" tells apart'


def adopt(  # noqa: PLR0913  # each is of its own
    tars: object,
    output_dir: Place | None = None,
    *,
    members: Sequence[str] | None = None,
    ids: IdsOf = "key",
    clashes: Clashes = "raise",
    checksum: ChecksumName = "xxh3_128",
    if_exists: IfAdopted = "skip",
    progress: bool | None = None,
    storage_options: StorageOptions | None = None,
) -> Adoption:
    """Give sidecars and a manifest to tars that others wrote, so that they are a dataset.

    Each tar is read once: headers of members and of pictures, and a checksum of each picture.
    Nothing is decoded, and no tar is changed or copied. Members are grouped into samples as
    webdataset does it. Afterwards, `scan`, `fetch_images`, `read_batches`, `verify`, `view`,
    `export_index`, `reshard` and `merge` work on them.

    Parameters
    ----------
    tars
        Paths or URLs of tars, ranges as ``"a-{000..099}.tar"``, patterns as ``"tars/*.tar"``,
        folders, or a list of these; all on one disk or in one bucket.
    output_dir
        Where sidecars and manifest go. None: to the folder that all tars are in or below. In
        another place, they are read as `Adopted` of both places.
    members
        Extensions whose members become columns. ``json`` becomes one for each field, of its type,
        ``txt`` text, ``cls`` numbers where all are, any other bytes. None: these three.
    ids
        ``"key"``: the ids are the keys of the samples. ``"path"``: that of the tar before them.
    clashes
        What becomes of a column whose values have no type in common. ``"raise"``: an error.
        ``"text"``: texts, of JSON where they were none.
    checksum
        ``"xxh3_128"`` or ``"sha256"``.
    if_exists
        What to do about sidecars that are there. ``"skip"``: keep those of tars of the same size.
        ``"overwrite"``: read all tars anew. ``"error"``: raise.
    progress
        True: a progress bar on stderr. None: only where stderr is a terminal.
    storage_options
        What an object store is told, by the keys of object_store; see
        ``docs/how-to/object-stores.md``.

    Returns
    -------
    Adoption
        How many tars, rows and pictures there are, and what is not as it should be.

    Raises
    ------
    SourceError
        When there are no tars, one is not there, or is packed as a whole.
    OptionError
        When an option has a value that it cannot have.
    SchemaError
        When values of a column have no type in common; sidecars of tars before are there.
    DatasetConflictError
        When `output_dir` holds another dataset, or sidecars that were made with other options.
    ManifestError
        When a sidecar or a manifest that is there cannot be read.
    StorageError
        When a tar cannot be read, or a sidecar not be written, twice.

    Notes
    -----
    Memory: for each thread, a window of 8 MiB of a tar or its largest member, 256 MiB at most, and
    the columns of its rows.

    Examples
    --------
    >>> adopt("laion/{00000..00099}.tar")  # doctest: +SKIP
    """
    options = tar_options(members, ids, clashes, checksum)
    check_option(if_exists in get_args(IfAdopted), "if_exists", _IF_EXISTS, if_exists)
    found = find_tars(tars, storage_options)
    stats = _stats_of(found)
    storage, place = _open_output(output_dir, found, storage_options)
    recorded = AdoptedTars(place=place, members=[*options.members], ids=options.ids)
    adopting = Adopting(storage, found.storage, options, recorded)
    manifest = _check_place(storage, [it.name for it in stats], if_exists)
    shards = _adopt_all(adopting, stats, manifest, if_exists, progress)
    shards = _widen_all(adopting, shards)
    _publish(storage, adopting, shards)
    return _adoption(storage, found, shards)


def _stats_of(found: Tars) -> list[FileStat]:
    """Return size and name of each tar.

    Raises
    ------
    SourceError
        When one is not there.
    """
    stats = found.storage.stats(found.names)
    missing = [name for name, it in zip(found.names, stats, strict=True) if isinstance(it, OSError)]
    if missing:
        text = "none of that name" if len(missing) == 1 else f"none, as of {len(missing):,} tars"
        expected = "a tar"
        raise SourceError(expected, text, found.storage.path_of(missing[0]))
    return [it for it in stats if not isinstance(it, OSError)]


def _open_output(
    output_dir: Place | None, found: Tars, storage_options: StorageOptions | None
) -> tuple[Storage, str | None]:
    """Return where sidecars go, and what is recorded of where the tars are."""
    if output_dir is None:
        return found.storage, None
    storage = open_storage(output_dir, options_for(output_dir, storage_options))
    return storage, None if storage == found.storage else found.storage.path_of("")


def _check_place(storage: Storage, tars: list[str], if_exists: IfAdopted) -> Manifest | None:
    """Return the manifest of tars that were adopted before.

    Raises
    ------
    DatasetConflictError
        When there is a dataset of another kind, or one at all where that is an error.
    """
    path = storage.path_of(MANIFEST_NAME)
    if is_foreign_manifest(storage):
        raise DatasetConflictError(
            path, [f"{MANIFEST_NAME} is not arrowimg's"], can_overwrite=False
        )
    manifest = read_manifest(storage)
    if manifest is not None and manifest.adopted is UNSET:
        raise DatasetConflictError(path, ["a dataset that arrowimg wrote"], can_overwrite=False)
    if if_exists == "error":
        names = {sidecar_name(adopted_shard(tar)) for tar in tars}
        there = sorted(names.intersection(storage.names()))
        if manifest is not None or there:
            difference = f'{(there or [MANIFEST_NAME])[0]} is there, and if_exists="error"'
            raise DatasetConflictError(path, [difference])
    return manifest


def _adopt_all(
    adopting: Adopting,
    stats: list[FileStat],
    manifest: Manifest | None,
    if_exists: IfAdopted,
    progress: bool | None,  # noqa: FBT001  # as the caller has it
) -> list[AdoptedShard]:
    """Return all shards, in order; tars are read side by side."""
    threads = _threads(adopting)
    there: list[AdoptedShard | None] = [None] * len(stats)
    if if_exists != "overwrite":
        there = list(map_on_threads(adopting.committed, stats, threads, 2 * threads))
    if manifest is not None and None in there:
        # Before a sidecar that it lists becomes another.
        adopting.storage.remove([MANIFEST_NAME])

    def read(work: tuple[FileStat, AdoptedShard | None]) -> AdoptedShard:
        tar, shard = work
        return shard or adopting.adopt(tar.name)

    shards = list[AdoptedShard]()
    work = zip(stats, there, strict=True)
    with progress_bar(sum(tar.nbytes for tar in stats), "B", progress) as bar:
        for shard in map_on_threads(read, work, threads, 2 * threads):
            shards.append(shard)
            bar.update(shard.entry.tar_nbytes)
    return shards


def _widen_all(adopting: Adopting, shards: list[AdoptedShard]) -> list[AdoptedShard]:
    """Return all shards with the columns of all; sidecars are written side by side.

    Raises
    ------
    SchemaError
        When values of a column have no type in common, before any sidecar becomes another.
    """
    threads, clashes = _threads(adopting), adopting.options.clashes
    widest = widest_schema(((it.entry.tar, it.schema) for it in shards), clashes)
    if all(it.schema.equals(widest) for it in shards):
        return shards

    def misfits(shard: AdoptedShard) -> tuple[str, dict[str, str]]:
        return shard.entry.tar, adopting.misfits(shard, widest)

    schema = with_texts(widest, map_on_threads(misfits, shards, threads, 2 * threads), clashes)
    adopting.storage.remove([MANIFEST_NAME])

    def widen(shard: AdoptedShard) -> AdoptedShard:
        return adopting.with_schema(shard, schema)

    return list(map_on_threads(widen, shards, threads, 2 * threads))


def _threads(adopting: Adopting) -> int:
    is_remote = adopting.tars.promises.is_remote or adopting.storage.promises.is_remote
    return _REMOTE_THREADS if is_remote else usable_cores()


def _publish(storage: Storage, adopting: Adopting, shards: Sequence[AdoptedShard]) -> None:
    entries = [shard.entry for shard in shards]
    manifest = Manifest(
        format_version=ADOPTED_VERSION,
        writer=writer_versions(),
        options={"checksum": adopting.options.checksum},
        num_shards=len(entries),
        num_images=sum(entry.num_images for entry in entries),
        num_rows=sum(entry.num_rows for entry in entries),
        shards=entries,
        adopted=adopting.recorded,
    )

    def publish() -> None:
        with storage.begin(adopting.options.checksum) as transaction:
            transaction.create(MANIFEST_NAME).write(manifest.to_json())
            transaction.publish("overwrite")

    retry_once(publish)


def _adoption(storage: Storage, found: Tars, shards: Sequence[AdoptedShard]) -> Adoption:
    codes, notices = Counter[str](), Counter[str]()
    with HashPartitions() as partitions:
        for shard in shards:
            codes += shard.error_codes
            notices += shard.notices
            partitions.add(shard.hashes)
        notices[_SEVERAL_TARS] += len(partitions.repeated())
    for notice, count in sorted((+notices).items()):
        logger.warning("%s: %s: %d", found.storage.path_of(""), notice, count)
    return Adoption(
        path=storage.path_of(""),
        tars=found.storage.path_of(""),
        num_tars=len(shards),
        num_rows=sum(shard.entry.num_rows for shard in shards),
        num_images=sum(shard.entry.num_images for shard in shards),
        nbytes=sum(shard.entry.tar_nbytes for shard in shards),
        num_unchanged=sum(shard.is_unchanged for shard in shards),
        error_codes=dict(sorted(codes.items())),
        notices=dict(sorted((+notices).items())),
    )
