"""Images to stored JPEG: pixels are encoded, other files decoded and encoded, JPEG files copied."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from msgspec import Struct

from arrowimg._core.binary import BinaryBuilder, binary_views, join_values, with_nulls
from arrowimg._images.check import CheckedFiles, CheckedPixels, CheckedRun
from arrowimg._images.codec.decode import decode_image, in_srgb
from arrowimg._images.codec.opencv import encode_jpegs
from arrowimg._images.columns import Files, run_views
from arrowimg._images.pixels import check_pixels, convert_pixels, is_plain
from arrowimg.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arrowimg._core.checksums import BytesLike
    from arrowimg._images.columns import ImageView
    from arrowimg._images.options import JpegOptions, PixelOptions

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
        The JPEGs, null where something is wrong. Copied files are views of the source.
    sizes
        (N, 3) int32: width and height in pixels; channels, 1 gray, 3 colour, 4 CMYK (in copied
        files only). Zeros where something is wrong.
    actions
        ``"encoded"`` from pixels, ``"copied"`` byte for byte, ``"transcoded"`` from another file.
    problems
        What is wrong, by row.
    notes
        What is worth knowing of pictures that are stored nevertheless, by row.
    """

    data: pa.LargeBinaryArray
    sizes: npt.NDArray[np.int32]
    actions: list[Action]
    problems: dict[int, Problem]
    notes: dict[int, str] = {}

    def columns(self) -> dict[str, pa.Array]:
        """Return what is stored as columns of `Samples.stored`; of bad rows, ``error`` alone."""
        is_bad = np.zeros(len(self.data), np.bool_)
        is_bad[list(self.problems)] = True
        sizes = [pa.array(size, pa.int32(), mask=is_bad) for size in self.sizes.T]
        actions: list[str | None] = [*self.actions]
        codes: list[str | None] = [None] * len(self.data)
        for row, problem in self.problems.items():
            actions[row], codes[row] = None, problem.code
        return {
            "image_data": self.data,
            **dict(zip(("width", "height", "channels"), sizes, strict=True)),
            "action": pa.array(actions, pa.string()),
            "error": pa.array(codes, pa.string()),
        }

    def without(self, problems: dict[int, Problem]) -> StoredImages:
        """Return the pictures, but for rows with which more is wrong; nothing is copied."""
        data = with_nulls(self.data, problems)
        return StoredImages(data, self.sizes, self.actions, self.problems | problems, self.notes)


def encode_run(run: CheckedRun, pixels: PixelOptions, jpeg: JpegOptions) -> StoredImages:
    """Return the stored form of each image; the same image always gives the same bytes."""
    if isinstance(run, CheckedFiles):
        return _encode_files(run, pixels, jpeg)
    return _encode_pixels(run, pixels, jpeg)


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


def _encode_files(files: CheckedFiles, options: PixelOptions, jpeg: JpegOptions) -> StoredImages:
    actions: list[Action] = ["copied"] * len(files)
    if not files.to_decode:
        data = with_nulls(files.data, files.problems)
        return StoredImages(data, files.sizes, actions, files.problems)
    views = binary_views(files.data)
    values: list[BytesLike | None] = [*views]
    sizes, problems, notes = files.sizes.copy(), dict(files.problems), dict[int, str]()
    for row in files.to_decode:
        actions[row] = "transcoded"
        picture = _transcode(views[row], options, jpeg)
        if isinstance(picture, Problem):
            problems[row] = picture
            continue
        values[row], shape, note = picture
        sizes[row] = _size(shape)
        if note is not None:
            notes[row] = note
    for row in problems:
        values[row] = None
    return StoredImages(join_values(values), sizes, actions, problems, notes)


def _transcode(
    data: memoryview, options: PixelOptions, jpeg: JpegOptions
) -> tuple[Pixels, Shape, str | None] | Problem:
    """Return the JPEG of a file in any format, the picture's shape, and what is worth knowing."""
    decoded = decode_image(data, options.max_pixels)
    if isinstance(decoded, Problem):
        return decoded
    # What layout and color say holds for the source's arrays; those of files are known.
    known = msgspec.structs.replace(options, layout="hwc", color="rgb")
    problem = check_pixels(decoded.pixels, known)
    if problem is not None:
        return problem
    picture, note = convert_pixels(decoded.pixels, known), decoded.note
    if decoded.profile is not None:
        picture, note = in_srgb(picture, decoded.profile)
    (encoded,) = encode_jpegs([picture], jpeg, color="rgb")
    return encoded if isinstance(encoded, Problem) else (encoded, picture.shape, note)


def _encode_pixels(run: CheckedPixels, options: PixelOptions, jpeg: JpegOptions) -> StoredImages:
    num_rows, views, problems = len(run), run.pictures, dict(run.problems)
    good = [row for row in range(num_rows) if row not in problems]
    sizes, shapes = np.zeros((num_rows, 3), np.int32), list[Shape]()
    if isinstance(views, np.ndarray) and len(good) == num_rows and is_plain(views, options):
        encoded = encode_jpegs(views, jpeg, color=options.color)
        sizes[:], nbytes = _size(views.shape[1:]), views.nbytes
    else:
        arrays = [view for view in (views[row] for row in good) if isinstance(view, np.ndarray)]
        pictures, nbytes = _converted(arrays, options, shapes), sum(each.size for each in arrays)
        encoded = encode_jpegs(pictures, jpeg, color=options.color)
    stored = BinaryBuilder(nbytes // _USUALLY_SMALLER)
    for row in range(num_rows):
        data = None if row in problems else next(encoded)
        if isinstance(data, Problem):
            problems[row], data = data, None
        stored.append(data)
    if shapes:
        sizes[good] = [_size(shape) for shape in shapes]
    return StoredImages(stored.finish(), sizes, ["encoded"] * num_rows, problems)


def _converted(views: list[Pixels], options: PixelOptions, shapes: list[Shape]) -> Iterator[Pixels]:
    """Yield each picture as it is encoded, and note its shape."""
    for view in views:
        picture = convert_pixels(view, options)
        shapes.append(picture.shape)
        yield picture


def _size(shape: Shape) -> tuple[int, int, int]:
    """Return width, height and channels of a picture (H, W) or (H, W, C=3)."""
    return shape[1], shape[0], 1 if len(shape) == 2 else 3
