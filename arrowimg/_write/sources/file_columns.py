"""Columns that picture files bring along: captions beside them, the folder, the file's name."""

from __future__ import annotations

import logging
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, TypeAlias

import pyarrow as pa
from msgspec import Struct, structs

from arrowimg._core.option_checks import check_option
from arrowimg.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

logger = logging.getLogger("arrowimg.labels")

Labels: TypeAlias = Literal["folder"]

CAPTION, LABEL, FILE_NAME = "caption", "label", "file_name"


class FileColumns(Struct, frozen=True):
    """Which columns picture files bring along.

    Attributes
    ----------
    captions
        Suffix of the files with captions, with or without its dot; None: there are none.
    labels
        ``"folder"``: the folder that a picture is in.
    file_name
        True: the path below the folder, with its suffix, to join metadata on.
    own_label
        The label of pictures that lie in the folder itself, None: these have none.
    """

    captions: str | None = None
    labels: Labels | None = None
    file_name: bool = False
    own_label: str | None = None

    def __post_init__(self) -> None:
        is_suffix = self.captions is None or (isinstance(self.captions, str) and self.captions)
        check_option(is_suffix, "captions", 'a suffix, say "txt", or None', self.captions)
        check_option(self.labels in (None, "folder"), "labels", '"folder" or None', self.labels)

    @property
    def caption_suffix(self) -> str:
        """Suffix of the files with captions, with its dot; empty where there are none."""
        return f".{self.captions.removeprefix('.')}" if self.captions else ""

    def check_unasked(self) -> None:
        """Raise `OptionError` where captions or labels are asked for, of what are no files."""
        for name, value in (("captions", self.captions), ("labels", self.labels)):
            check_option(value is None, name, "None where the source has no picture files", value)

    def of_folder(self, place: str, num_within: int, num_below: int) -> FileColumns:
        """Return what the pictures of a folder bring along.

        Its own name is a label where it has no folders with pictures, as it is in a pattern; beside
        labels of these, it would be one of another kind.

        Parameters
        ----------
        place
            The folder, by an absolute path or its URL.
        num_within, num_below
            How many pictures are in the folder itself, and how many in folders below it.
        """
        if self.labels is None or not num_within:
            return self
        if not num_below:
            return structs.replace(self, own_label=PurePosixPath(place).name or None)
        text = "%s: %d of %d pictures lie in the folder itself, and have no label"
        logger.warning(text, place, num_within, num_within + num_below)
        return self

    def caption_name(self, name: str) -> str:
        """Return the name of the file with the caption of a picture."""
        return PurePosixPath(name).with_suffix(self.caption_suffix).as_posix()

    def columns(self, names: list[str], read: Callable[[str], bytes | None]) -> dict[str, pa.Array]:
        """Return the columns of some pictures.

        Parameters
        ----------
        names
            Their paths, with ``/``, below the folder where there is one.
        read
            Returns the bytes of a file of such a name, None where there is none.

        Raises
        ------
        SourceError
            When a caption is no UTF-8.
        """
        found = dict[str, pa.Array]()
        if self.captions is not None:
            found[CAPTION] = _texts(_caption(it, read) for it in map(self.caption_name, names))
        if self.labels is not None:
            found[LABEL] = _texts(
                PurePosixPath(name).parent.name or self.own_label for name in names
            )
        if self.file_name:
            found[FILE_NAME] = _texts(names)
        return found


def no_captions(place: str, suffix: str) -> SourceError:
    """Return the error that no picture of a place has a caption."""
    expected = f"captions beside pictures: files of the same names that end in {suffix}"
    return SourceError(expected, "none", place, "leave captions out, or say their suffix")


def _caption(name: str, read: Callable[[str], bytes | None]) -> str | None:
    data = read(name)
    try:
        return None if data is None else data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        expected, advice = "a caption in UTF-8", "convert it, say with iconv"
        raise SourceError(expected, str(error), name, advice) from error


def _texts(values: Iterable[str | None]) -> pa.Array:
    # A name that is no UTF-8 is a row with an error.
    return pa.array([it if it is None or _is_text(it) else None for it in values], pa.string())


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
