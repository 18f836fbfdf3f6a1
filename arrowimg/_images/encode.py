"""Images to stored files: pixels are encoded, files copied, or decoded and encoded, by rule."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from arrowimg._core.binary import BinaryBuilder, binary_views, join_values, with_nulls
from arrowimg._images.check import CheckedFiles, CheckedPixels, CheckedRun, check_image
from arrowimg._images.codec.decode import decode_image, in_srgb
from arrowimg._images.codec.opencv import encode_jpegs
from arrowimg._images.codec.png import encode_pngs
from arrowimg._images.columns import Files, run_views
from arrowimg._images.pixels import convert_pixels, is_plain, lossless_pixels
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from arrowimg._core.checksums import BytesLike
    from arrowimg._images.columns import ImageView
    from arrowimg._images.rules import FormatRule

    Pixels = npt.NDArray[Any]

Action = Literal["encoded", "copied", "transcoded"]
Shape: TypeAlias = tuple[int, ...]

_USUALLY_SMALLER = 6
"""JPEGs are usually smaller than their pixels by more than this factor."""


class StoredImages(Struct, frozen=True):
    """Pictures of consecutive rows as they will be in the tar.

    Attributes
    ----------
    data
        The files, null where something is wrong. Copied ones are views of the source.
    sizes
        (N, 3) int32: width and height in pixels; channels, 1 gray, 3 colour, of copied files as
        they state them. Zeros where something is wrong.
    actions
        ``"encoded"`` from pixels, ``"copied"`` byte for byte, ``"transcoded"`` from another file.
    problems
        What is wrong, by row.
    extensions
        Of the members.
    absent
        Rows that have no picture, and need none.
    notes
        What is worth knowing of pictures that are stored nevertheless, by row.
    """

    data: pa.LargeBinaryArray
    sizes: npt.NDArray[np.int32]
    actions: list[Action]
    problems: dict[int, Problem]
    extensions: list[str]
    absent: dict[int, None] = {}
    notes: dict[int, str] = {}

    def columns(self) -> dict[str, pa.Array]:
        """Return what is stored as columns of `Samples.stored`; of bad rows, ``error`` alone."""
        is_bad = np.zeros(len(self.data), np.bool_)
        is_bad[[*self.problems, *self.absent]] = True
        sizes = [pa.array(size, pa.int32(), mask=is_bad) for size in self.sizes.T]
        actions: list[str | None] = [*self.actions]
        extensions: list[str | None] = [*self.extensions]
        codes: list[str | None] = [None] * len(self.data)
        for row in (*self.problems, *self.absent):
            actions[row] = extensions[row] = None
        for row, problem in self.problems.items():
            codes[row] = problem.code
        return {
            "image_data": self.data,
            "extension": pa.array(extensions, pa.string()),
            **dict(zip(("width", "height", "channels"), sizes, strict=True)),
            "action": pa.array(actions, pa.string()),
            "error": pa.array(codes, pa.string()),
        }

    def without(self, problems: dict[int, Problem]) -> StoredImages:
        """Return the pictures, but for rows with which more is wrong; nothing is copied."""
        data = with_nulls(self.data, problems)
        return replace(self, data=data, problems=self.problems | problems)

    def left_out(self, rows: Collection[int]) -> StoredImages:
        """Return the pictures, but for rows that have none for another's sake."""
        if not rows:
            return self
        data = with_nulls(self.data, rows)
        return replace(self, data=data, absent=self.absent | dict.fromkeys(rows))


def encode_run(run: CheckedRun, rule: FormatRule) -> StoredImages:
    """Return the stored form of each image; the same image always gives the same bytes."""
    if isinstance(run, CheckedFiles):
        return _encode_files(run, rule)
    return _encode_pixels(run, rule)


def quarantined_bytes(run: CheckedRun, problems: dict[int, Problem]) -> pa.LargeBinaryArray:
    """Return the offending bytes of bad rows: files as they are, pixels as NumPy's ``.npy``."""
    views = run_views(Files(run.data)) if isinstance(run, CheckedFiles) else run.pictures
    return join_values(
        [_raw_bytes(view) if row in problems else None for row, view in enumerate(views)]
    )


def _raw_bytes(view: ImageView) -> BytesLike | None:
    if isinstance(view, Problem):
        return None
    if isinstance(view, memoryview):
        return view
    file = io.BytesIO()
    np.save(file, view, allow_pickle=False)
    return file.getvalue()


def _encode_files(files: CheckedFiles, rule: FormatRule) -> StoredImages:
    actions: list[Action] = ["copied"] * len(files)
    extensions = [rule.extension] * len(files)
    for row, extension in files.extensions.items():
        extensions[row] = extension
    if not files.to_decode:
        data = with_nulls(files.data, files.problems)
        return StoredImages(data, files.sizes, actions, files.problems, extensions, files.absent)
    views = binary_views(files.data)
    values: list[BytesLike | None] = [*views]
    sizes, problems, notes = files.sizes.copy(), dict(files.problems), dict[int, str]()
    # What layout and color say holds for the source's arrays; those of files are known.
    known = replace(rule, pixels=replace(rule.pixels, layout="hwc", color="rgb"))
    for row in files.to_decode:
        actions[row] = "transcoded"
        picture = _transcode(views[row], known)
        if isinstance(picture, Problem):
            problems[row] = picture
            continue
        values[row], shape, note = picture
        sizes[row] = _size(shape)
        if note is not None:
            notes[row] = note
    for row in (*problems, *files.absent):
        values[row] = None
    data = join_values(values)
    return StoredImages(data, sizes, actions, problems, extensions, files.absent, notes)


def _transcode(data: memoryview, known: FormatRule) -> tuple[Pixels, Shape, str | None] | Problem:
    """Return a file in any format encoded, the picture's shape, and what is worth knowing."""
    decoded = decode_image(data, known.pixels.max_pixels)
    if isinstance(decoded, Problem):
        return decoded
    problem = check_image(decoded.pixels, known)
    if problem is not None:
        return problem
    picture, note = _as_stored(decoded.pixels, known), decoded.note
    if decoded.profile is not None:
        picture, note = in_srgb(picture, decoded.profile)
    (encoded,) = _encoded([picture], known)
    return encoded if isinstance(encoded, Problem) else (encoded, picture.shape, note)


def _as_stored(pixels: Pixels, rule: FormatRule) -> Pixels:
    convert = lossless_pixels if rule.encoding == "png" else convert_pixels
    return convert(pixels, rule.pixels)


def _encoded(
    pictures: Iterable[Pixels], rule: FormatRule
) -> Iterator[npt.NDArray[np.uint8] | Problem]:
    if rule.encoding == "png":
        return encode_pngs(pictures, color=rule.pixels.color)
    return encode_jpegs(pictures, rule.jpeg, color=rule.pixels.color)


def _encode_pixels(run: CheckedPixels, rule: FormatRule) -> StoredImages:
    num_rows, views, problems = len(run), run.pictures, dict(run.problems)
    good = [row for row in range(num_rows) if row not in problems and row not in run.absent]
    sizes, shapes = np.zeros((num_rows, 3), np.int32), list[Shape]()
    if isinstance(views, np.ndarray) and len(good) == num_rows and is_plain(views, rule.pixels):
        encoded = _encoded(views, rule)
        sizes[:], nbytes = _size(views.shape[1:]), views.nbytes
    else:
        arrays = [view for view in (views[row] for row in good) if isinstance(view, np.ndarray)]
        pictures, nbytes = _converted(arrays, rule, shapes), sum(each.size for each in arrays)
        encoded = _encoded(pictures, rule)
    stored = BinaryBuilder(nbytes // _USUALLY_SMALLER)
    for row in range(num_rows):
        data = None if row in problems or row in run.absent else next(encoded)
        if isinstance(data, Problem):
            problems[row], data = data, None
        stored.append(data)
    if shapes:
        sizes[good] = [_size(shape) for shape in shapes]
    actions: list[Action] = ["encoded"] * num_rows
    extensions = [rule.extension] * num_rows
    return StoredImages(stored.finish(), sizes, actions, problems, extensions, run.absent)


def _converted(views: list[Pixels], rule: FormatRule, shapes: list[Shape]) -> Iterator[Pixels]:
    """Yield each picture as it is encoded, and note its shape."""
    for view in views:
        picture = _as_stored(view, rule)
        shapes.append(picture.shape)
        yield picture


def _size(shape: Shape) -> tuple[int, int, int]:
    """Return width, height and channels of a picture (H, W) or (H, W, C)."""
    return shape[1], shape[0], 1 if len(shape) == 2 else shape[2]
