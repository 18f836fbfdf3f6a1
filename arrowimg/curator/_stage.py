"""The stage of NeMo Curator; imported when it is asked for, since it derives from Curator's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from arrowimg._write.options import WriteOptions
from arrowimg._write.stage import ImageWriterStage as BatchStage
from arrowimg.curator._batches import batch_of_tasks
from arrowimg.errors import MissingDependencyError

try:
    from nemo_curator.stages.base import ProcessingStage
    from nemo_curator.tasks import FileGroupTask
    from nemo_curator.tasks.image import ImageBatch
except ImportError as error:
    feature, extra = "arrowimg.curator", "curator"
    raise MissingDependencyError(feature, extra) from error

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from arrowimg._write.file_group import FileGroupTask as WrittenFiles


@dataclass
class ImageWriterStage(ProcessingStage[ImageBatch, FileGroupTask]):
    """Writes Curator's batches of images as tar shards with Parquet sidecars.

    In place of Curator's own writer: the same parameters, the same pictures, and its scores,
    embeddings and metadata as typed columns.

    Parameters
    ----------
    output_dir, images_per_tar, verbose, deterministic_name
        As `arrowimg.ImageWriterStage` has them.
    remove_image_data
        As Curator's own writer has it: True drops the pixels of the objects, once their shards are
        committed. Not the parameter of that name of `arrowimg.ImageWriterStage`, which is about the
        sidecar; see `keep_images`.
    metadata_schema
        See `batch_of_tasks`.
    keep_images
        True: the sidecar has the stored pictures too, in the column ``image_data``.
    options
        More of `WriteOptions`, by name; ``on_error`` is ``"quarantine"`` unless told otherwise,
        since an error ends the whole pipeline. Or a `WriteOptions` as a whole; `keep_images` then
        decides in place of its ``remove_image_data``, and `images_per_tar` in place of its own
        where it is not the default.
    storage_options
        What an object store is told, where `output_dir` is a URL; the stage holds them, its `repr`
        does not show them.

    Notes
    -----
    ``with_(batch_size=k)`` merges k batches, so that tars are full across them. Nothing is kept
    between calls: executors need not call ``teardown``.
    """

    output_dir: str
    images_per_tar: int = 1000
    verbose: bool = False
    deterministic_name: bool = True
    remove_image_data: bool = False
    metadata_schema: pa.Schema | None = None
    keep_images: bool = False
    options: WriteOptions | dict[str, Any] = field(default_factory=dict)
    storage_options: Mapping[str, object] | None = field(default=None, repr=False)
    name: str = "image_writer"
    batch_size: int = 1

    def __post_init__(self) -> None:
        removed = {"remove_image_data": not self.keep_images}
        self._stage = BatchStage(
            self.output_dir,
            self.images_per_tar,
            self.verbose,
            self.deterministic_name,
            storage_options=self.storage_options,
            **(
                {"options": self.options.replaced(removed)}
                if isinstance(self.options, WriteOptions)
                else {"on_error": "quarantine", **self.options, **removed}
            ),
        )

    def inputs(self) -> tuple[list[str], list[str]]:
        """Return what the stage reads of a task."""
        return ["data"], []

    def outputs(self) -> tuple[list[str], list[str]]:
        """Return what the stage makes of a task."""
        return ["data"], []

    def process(self, task: ImageBatch) -> FileGroupTask:
        """Write one task."""
        files: FileGroupTask = self.process_batch([task])[0]
        return files

    def process_batch(self, tasks: list[Any]) -> list[Any]:
        """Write all tasks as one batch: the first gets the files, of the rest nothing is left.

        As many results as tasks, so that Curator can give them ids that stay the same.
        """
        quarantine = self._stage.options.on_error == "quarantine"
        batch = batch_of_tasks(tasks, self.metadata_schema, quarantine=quarantine)
        files = self._stage.process(batch)
        if self.remove_image_data:
            for image in (image for task in tasks for image in task.data):
                image.image_data = None
        return [self._file_group(tasks[0], files)] + [None] * (len(tasks) - 1)

    def _file_group(self, task: ImageBatch, files: WrittenFiles) -> FileGroupTask:
        return FileGroupTask(
            dataset_name=task.dataset_name,
            data=[*files.tar_paths, *files.parquet_paths],
            _metadata={**task._metadata, **files.metadata},  # noqa: SLF001  # its API
            _stage_perf=task._stage_perf,  # noqa: SLF001
        )
