"""Methods of Polars frames: ``frame.arrowimg.write_shards(...)``; loading this registers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, Unpack

import polars as pl

from arrowimg._write.options.keywords import WriteKeywords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arrowimg._storage.base import Place, StorageOptions
    from arrowimg._write.file_group import FileGroupTask
    from arrowimg._write.sources.join import On

NAME = "arrowimg"

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class FrameKeywords(WriteKeywords, total=False):
    """The keyword options of `write_shards` that a frame has a use for."""

    on: On
    rename: Mapping[str, str]
    drop: Sequence[str]
    reserved_prefix: str | None
    split: Mapping[str, float]
    split_by: str | None
    progress: bool | None
    workers: int | None
    storage_options: StorageOptions | None


class FrameMethods(Generic[Frame]):
    """What arrowimg does with a Polars frame.

    Parameters
    ----------
    frame
        Rows with images to be written, or rows of `arrowimg.scan`.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame: Frame = frame

    def write_shards(
        self,
        output_dir: Place,
        images_per_tar: int = 1000,
        metadata: object = None,
        remove_image_data: bool = True,  # noqa: FBT001, FBT002  # as in the function
        **options: Unpack[FrameKeywords],
    ) -> FileGroupTask:
        """Write the rows as shards, see `arrowimg.write_shards`; a lazy frame is streamed."""
        # With the frame alone, arrowimg is loaded no further.
        from arrowimg._write.source_writer import write_shards  # noqa: PLC0415

        return write_shards(
            self._frame, output_dir, images_per_tar, metadata, remove_image_data, **options
        )

    def fetch(
        self,
        *,
        images: Sequence[str] | None = None,
        decode: bool = False,
        check: bool = True,
        storage_options: StorageOptions | None = None,
    ) -> pl.DataFrame:
        """Return rows of `arrowimg.scan` with their pictures, see `arrowimg.fetch_images`."""
        from arrowimg._dataset.fetch import fetch_images  # noqa: PLC0415  # as above

        return fetch_images(
            self._frame,
            images=images,
            decode=decode,
            check=check,
            storage_options=storage_options,
        )


@pl.api.register_dataframe_namespace(NAME)
class DataFrameMethods(FrameMethods[pl.DataFrame]):
    """``DataFrame.arrowimg``."""


@pl.api.register_lazyframe_namespace(NAME)
class LazyFrameMethods(FrameMethods[pl.LazyFrame]):
    """``LazyFrame.arrowimg``."""
