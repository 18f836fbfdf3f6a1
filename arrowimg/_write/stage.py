"""The stage: one batch in, its shards out, nothing kept between calls."""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import pyarrow as pa
import pyarrow.parquet as pq

from arrowimg._core.binary import binary_views, join_values
from arrowimg._core.mistakes import no_batch
from arrowimg._core.option_checks import check_option, python_value
from arrowimg._core.plain_types import plain_table
from arrowimg._core.task import ProcessingStage
from arrowimg._core.threads import map_on_threads
from arrowimg._dataset.index.formats import indexes_among
from arrowimg._format.keys import UNNAMED_PREFIX, check_member_names
from arrowimg._format.names import SHARD_PREFIX, batch_shard_name, sidecar_name, tar_name
from arrowimg._format.tar_writer import TarWriter
from arrowimg._images.batch import ImageBatch
from arrowimg._images.check import check_run
from arrowimg._images.columns import Files, ImageRun
from arrowimg._images.encode import encode_run
from arrowimg._storage.open import options_for, place_as_text
from arrowimg._write.batch_name import batch_digest
from arrowimg._write.encode import EncodedBatch, encode_batch
from arrowimg._write.file_group import FILE_GROUP_SCHEMA, FileGroupTask, file_group
from arrowimg._write.options import (
    StageKeywords,
    WriteOptions,
    check_error_fraction,
    write_options,
)
from arrowimg._write.packing.plan import PartStream, ReplayedParts, plan_shards
from arrowimg._write.packing.under_way import shards_at_once
from arrowimg._write.prepare import check_batch, name_rows, picture_runs
from arrowimg._write.publish import open_output
from arrowimg._write.resume import committed_batch
from arrowimg._write.shard import Shard, write_shard
from arrowimg.errors import ImageError, OptionError, RowProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from arrowimg._format.samples import Samples
    from arrowimg._storage.base import Place, Storage, StorageOptions

_WITHIN_OPTIONS = ("images_per_tar", "remove_image_data")
_BASE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

logger = logging.getLogger("arrowimg")


@dataclass(frozen=True, init=False)
class ImageWriterStage(ProcessingStage[ImageBatch, FileGroupTask]):
    """Writes each batch as tar shards with Parquet sidecars.

    Parameters
    ----------
    output_dir
        Folder of the shards; made when the first is written.
    images_per_tar
        At most this many pictures in one tar.
    verbose
        True: one line per shard through ``logging.getLogger("arrowimg")``, level INFO.
    deterministic_name
        True: the same batch has the same name on any worker, so that writing it again changes
        nothing. False: a fresh random name for each call.
    remove_image_data
        True: the sidecar has no ``image_data`` column. False, the default here, keeps the stored
        JPEG in it too: handy for dataframes, twice the bytes.
    **options
        ``storage_options``, what an object store is told (``docs/how-to/object-stores.md``); and
        see `WriteOptions`; or ``options=WriteOptions(...)`` as a whole. Keywords beside it override
        it; `images_per_tar` and `remove_image_data` do so only where they are not the default.

    Attributes
    ----------
    output_dir, verbose, deterministic_name
        As given.
    options
        The `WriteOptions`, `images_per_tar` and `remove_image_data` among them.

    Raises
    ------
    OptionError, KeywordError
        When an option has a value that it cannot have or that has no effect beside another, or
        does not exist.

    Notes
    -----
    A stage is a value: it cannot be changed, two of the same attributes are equal, and
    ``copy.replace`` (or ``stage.__replace__``, before Python 3.13) returns one with other values.
    It can be pickled, and holds no open file, so that each process may have a copy. A relative
    `output_dir` is that of the working directory in which the stage was made, in copies too.
    """

    name: ClassVar[str] = "image_writer"
    _name: ClassVar[str] = "image_writer"

    output_dir: Place
    verbose: bool
    deterministic_name: bool
    options: WriteOptions

    def __init__(
        self,
        output_dir: Place,
        images_per_tar: int = 1000,
        verbose: bool = False,  # noqa: FBT001, FBT002  # the signature is the user's
        deterministic_name: bool = True,  # noqa: FBT001, FBT002
        remove_image_data: bool = False,  # noqa: FBT001, FBT002
        **options: Unpack[StageKeywords],
    ) -> None:
        storage_options = options.pop("storage_options", None)
        chosen = write_options(
            options,
            images_per_tar,
            remove_image_data=remove_image_data,
            removed_by_default=False,
            others=("output_dir", "verbose", "deterministic_name", "storage_options"),
        )
        object.__setattr__(self, "_storage_options", storage_options)
        self._set(output_dir, verbose, deterministic_name, chosen)

    def _set(self, *values: object) -> None:
        # As the __init__ that is generated for a frozen class does it.
        for attribute, value in zip(fields(self), values, strict=True):
            object.__setattr__(self, attribute.name, python_value(value))
        self.__post_init__()

    def __post_init__(self) -> None:
        # Settled once; no attribute, since stages are told apart by what their caller said.
        told: StorageOptions | None = self.__dict__.get("_storage_options")
        storage = open_output(self.output_dir, self.options, told)
        object.__setattr__(self, "_place", storage)
        for name in ("verbose", "deterministic_name"):
            check_option(isinstance(getattr(self, name), bool), name, "a bool", getattr(self, name))
        is_found_again = self.deterministic_name or self.options.if_exists != "skip"
        expected = 'True with if_exists="skip", which finds shards by their name'
        check_option(is_found_again, "deterministic_name", expected, self.deterministic_name)

    def __replace__(self, **changes: Any) -> Self:  # noqa: ANN401  # as the parameters have it
        """Return a stage with other values of some parameters."""
        values = {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}
        within = {name: changes.pop(name) for name in _WITHIN_OPTIONS if name in changes}
        place = changes.get("output_dir", self.output_dir)
        told = options_for(place, self.__dict__["_storage_options"])
        replaced = type(self)(**{"storage_options": told, **values, **changes})
        if "output_dir" not in changes:
            storage = self._storage.with_durability(replaced.options.durability)
            object.__setattr__(replaced, "_place", storage)
        if not within:
            return replaced
        # Beside `options`, a default would not count.
        return replaced.__replace__(options=replaced.options.replaced(within))

    @property
    def images_per_tar(self) -> int:
        """At most this many pictures in one tar."""
        return self.options.images_per_tar

    @property
    def remove_image_data(self) -> bool:
        """Whether the sidecar has no ``image_data`` column."""
        return self.options.remove_image_data

    @property
    def _storage(self) -> Storage:
        storage: Storage = self.__dict__["_place"]
        return storage

    def inputs(self) -> tuple[list[str], list[str]]:
        """Return the task attributes, and the columns of its data, that the stage reads."""
        return ["data"], [self.options.image_column]

    def outputs(self) -> tuple[list[str], list[str]]:
        """Return the task attributes, and the columns of its data, that the stage makes."""
        return ["data"], FILE_GROUP_SCHEMA.names

    def process(self, task: ImageBatch) -> FileGroupTask:
        """Write a batch; its shards are committed when this returns.

        Parameters
        ----------
        task
            Not changed. An empty batch writes nothing and gives a file group without files.

        Raises
        ------
        SourceError
            When `task` is no `ImageBatch`.
        ImageError, SchemaError, SampleKeyError, DuplicateIdError
            When the batch cannot be written. Nothing was written.
        ErrorFractionError
            When too many of its rows are bad. Nothing was written.
        ShardConflictError
            When a name is taken by other content; that content was left as it is.
        DatasetConflictError
            When a shard of the name is there that was written with other options.
        StorageError
            When the folder cannot be written to. Shards before are committed; processing the same
            batch again completes the rest.
        ManifestError
            With ``if_exists="skip"``, when a sidecar of the name is there and cannot be read.
        """
        if not isinstance(task, ImageBatch):
            raise no_batch(task)
        options, storage = self.options, self._storage
        base_name = self.construct_base_name(task)
        committed = committed_batch(storage, base_name, options)
        if committed is not None:
            return self._file_group(committed, task)
        unnamed_prefix = f"{UNNAMED_PREFIX}{base_name.removeprefix(SHARD_PREFIX)}-"
        rows = name_rows(task.data, options, unnamed_prefix)
        checked = check_batch(rows, picture_runs(task.data, options), options)
        encoded = encode_batch(checked, options)
        check_error_fraction(encoded.error_codes, rows.num_rows, options)
        plan = plan_shards(encoded.tar_nbytes, options.images_per_tar, options.max_members_nbytes)
        shards = self._write_shards(storage, base_name, plan, encoded)
        return self._file_group(shards, task)

    def _file_group(self, shards: list[Shard], task: ImageBatch) -> FileGroupTask:
        place = place_as_text(self.output_dir, self._storage)
        return file_group(shards, place, self.options.images_per_tar, task)

    def construct_base_name(self, batch: ImageBatch) -> str:
        """Return ``images-<24 hexadecimal digits>``, what the batch's shards are called.

        The same batch always has the same name, in any process; see `batch_digest` for what
        counts. With ``deterministic_name=False``, 128 random bits that no other process has.
        """
        if not self.deterministic_name:
            return f"{SHARD_PREFIX}{uuid.uuid4().hex}"
        image_column, recorded = self.options.image_column, self.options.recorded()
        return f"{SHARD_PREFIX}{batch_digest(batch, image_column, recorded)}"

    def _write_shards(
        self, storage: Storage, base_name: str, plan: list[slice], batch: EncodedBatch
    ) -> list[Shard]:
        if self.options.if_exists == "overwrite":
            # The offsets in the indexes would lead into the middle of other pictures.
            storage.remove(indexes_among(storage.names()))
        stream = PartStream(batch.parts)
        threads = self.options.threads
        at_once = min(len(plan), shards_at_once(storage, threads, is_copied=batch.is_copied))

        def planned() -> Iterator[tuple[str, Iterable[Samples]]]:
            for number, rows in enumerate(plan):
                parts = stream.take(rows.stop - rows.start)
                name = batch_shard_name(base_name, number)
                yield name, ReplayedParts(parts) if at_once == 1 else list(parts)

        def write(shard: tuple[str, Iterable[Samples]]) -> Shard:
            written = write_shard(storage, *shard, self.options, len(plan))
            if self.verbose:
                tar = written.tar
                counts = (tar.num_images, tar.num_rows, tar.nbytes)
                logger.info("%s: %d images, %d rows, %d bytes", tar.path, *counts)
            return written

        return list(map_on_threads(write, planned(), at_once, at_once, "send"))

    def _encode_image_to_bytes(self, image: npt.NDArray[Any]) -> tuple[bytes, str]:
        """Return one picture, the same bytes as `process` writes, and ``".jpg"``, its suffix."""
        is_file = isinstance(image, memoryview)
        run: ImageRun = Files(pa.array([image], pa.large_binary())) if is_file else [image]
        rule = self.options.rules[self.options.image_column]
        stored = encode_run(check_run(run, rule), rule)
        if stored.problems:
            problem = stored.problems[0]
            raise ImageError([RowProblem(0, None, problem.code, problem.found)], 1)
        return bytes(binary_views(stored.data)[0]), f".{stored.extensions[0]}"

    def _write_tar(self, base_name: str, members: Sequence[tuple[str, bytes]]) -> str:
        """Write ``<base name>.tar`` of these (name, data) members; returns its path."""
        _check_base_name(base_name)
        check_member_names([name for name, _ in members])
        names = pa.array([name for name, _ in members], pa.string())
        data = join_values([data for _, data in members])
        with self._storage.begin(self.options.checksum) as transaction:
            tar = transaction.create(tar_name(base_name))
            writer = TarWriter(tar, self.options.checksum)
            writer.write(names, data)
            writer.finish()
            transaction.publish(self.options.if_exists)
        return self._storage.path_of(tar.name)

    def _write_parquet(self, base_name: str, rows: pa.Table | Sequence[Mapping[str, Any]]) -> str:
        """Write ``<base name>.parquet`` of a table or a list of rows; returns its path.

        With `remove_image_data`, without the image column.
        """
        _check_base_name(base_name)
        table = plain_table(
            rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows))
        )
        if not self.options.keeps_images and self.options.image_column in table.column_names:
            table = table.drop_columns([self.options.image_column])
        with self._storage.begin(self.options.checksum) as transaction:
            parquet = transaction.create(sidecar_name(base_name))
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, compression="zstd")
            parquet.write(memoryview(sink.getvalue()))
            transaction.publish(self.options.if_exists)
        return self._storage.path_of(parquet.name)


def _check_base_name(base_name: str) -> None:
    if not _BASE_NAME.fullmatch(base_name):
        option, expected = "base_name", "letters, digits, '_', '-' and '.', no folder"
        raise OptionError(option, expected, base_name)
