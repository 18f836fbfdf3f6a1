"""Headers of many JPEG files at once: the marker segments of all of them, walked in step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from arrowimg._core.binary import bytes_among
from arrowimg._images.formats.content import MAX_SIDE
from arrowimg._images.formats.jpeg import (
    END_OF_IMAGE,
    JPEG_CHANNELS,
    OTHER_SEGMENTS,
    SAMPLINGS,
    SEQUENTIAL_FRAMES,
    START_OF_IMAGE,
    START_OF_SCAN,
)
from arrowimg._images.headers import MAX_NBYTES

if TYPE_CHECKING:
    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.int64]

_MAX_SEGMENTS = 64
_LONGEST_FRAME_HEADER = 10
_IS_SEQUENTIAL_FRAME = bytes_among(SEQUENTIAL_FRAMES)
_IS_WALKED_OVER = bytes_among([*OTHER_SEGMENTS, *SEQUENTIAL_FRAMES, START_OF_SCAN])
_HOLDS_CHANNELS = bytes_among(JPEG_CHANNELS)
_IS_SAMPLING = bytes_among(SAMPLINGS)


class PlainJpegs(Struct, frozen=True):
    """What was found of N files.

    Attributes
    ----------
    is_plain
        (N,) bool: a sequential JPEG of 8 bits, whole, of an allowed size. Nothing is said of the
        others: `read_header` tells what they are.
    sizes
        (N, 3) int32: width, height and channels as stored; where `is_plain`.
    """

    is_plain: npt.NDArray[np.bool_]
    sizes: npt.NDArray[np.int32]


def find_plain_jpegs(data: Bytes, starts: Numbers, stops: Numbers, max_pixels: int) -> PlainJpegs:
    """Return which files are plain JPEG, and their sizes, as `read_header` would, one by one.

    Parameters
    ----------
    data
        The bytes of all files.
    starts, stops
        (N,) int64: where each file begins and ends in `data`.
    max_pixels
        Most pixels that a header may declare.
    """
    sizes = np.zeros((len(starts), 3), np.int32)
    rows = np.flatnonzero(_are_enclosed(data, starts, stops))
    frames, scans = _frames_and_whole_scans(data, rows, starts, stops)
    rows = np.flatnonzero(frames > 0)
    at = frames[rows]
    precision, channels = data[at + 4], data[at + 9]
    heights, widths = _big_endian(data, at + 5), _big_endian(data, at + 7)
    is_plain = (
        (precision == 8)
        & _HOLDS_CHANNELS[channels]
        & (np.minimum(heights, widths) >= 1)
        & (np.maximum(heights, widths) <= MAX_SIDE)
        & (heights * widths <= max_pixels)
        & _are_channels_plain(data, at, scans[rows])
    )
    sizes[rows] = np.stack([widths, heights, channels], axis=1)
    return PlainJpegs(np.isin(np.arange(len(starts)), rows[is_plain]), sizes)


def _are_enclosed(data: Bytes, starts: Numbers, stops: Numbers) -> npt.NDArray[np.bool_]:
    """Tell which files begin and end with JPEG's markers and are long enough to hold a frame."""
    nbytes = stops - starts
    enclosed = (nbytes > 2 * _LONGEST_FRAME_HEADER) & (nbytes <= MAX_NBYTES)
    rows = np.flatnonzero(enclosed)
    first, last = starts[rows], stops[rows]
    enclosed[rows] = np.logical_and.reduce(
        [data[first + at] == byte for at, byte in enumerate(START_OF_IMAGE)]
        + [data[last - 2 + at] == byte for at, byte in enumerate(END_OF_IMAGE)]
    )
    return enclosed


def _are_channels_plain(data: Bytes, frames: Numbers, scans: Numbers) -> npt.NDArray[np.bool_]:
    """Tell whose scan has the channels of its frame in the frame's order, sampled 1 to 4 times."""
    channels = data[frames + 9].astype(np.int64)
    is_plain: npt.NDArray[np.bool_] = _big_endian(data, scans + 2) == 6 + 2 * channels
    for channel in range(max(JPEG_CHANNELS)):
        # Where there is no such channel, the first is looked at again.
        at = np.where(channel < channels, channel, 0)
        in_frame = frames + 10 + 3 * at
        in_scan = np.minimum(scans + 5 + 2 * at, len(data) - 1)  # of a scan that is too short
        is_plain &= (data[in_frame] == data[in_scan]) & _IS_SAMPLING[data[in_frame + 1]]
    return is_plain


def _frames_and_whole_scans(
    data: Bytes, rows: Numbers, starts: Numbers, stops: Numbers
) -> tuple[Numbers, Numbers]:
    """Return where frame and scan of each file begin, 0 where the walk met anything else.

    ITU-T T.81, annex B: a marker of two bytes, then a length of two bytes that counts itself. The
    walk ends at a scan of all channels, of which there is one.
    """
    frames, scans = np.zeros((2, len(starts)), np.int64)
    is_whole = np.zeros(len(starts), np.bool_)
    at = starts[rows] + 2
    # No segment may begin so near the end that its header, or a frame's, would reach beyond.
    limits = stops[rows] - _LONGEST_FRAME_HEADER
    for _ in range(_MAX_SEGMENTS):
        if not len(rows):
            break
        markers = data[at + 1]
        lengths = _big_endian(data, at + 2)
        goes_on = (data[at] == 0xFF) & _IS_WALKED_OVER[markers] & (lengths >= 2)
        is_frame = goes_on & _IS_SEQUENTIAL_FRAME[markers]
        # A frame of its length, and the only one.
        is_whole_frame = lengths == 8 + 3 * data[at + 9].astype(np.int64)
        goes_on &= ~is_frame | (is_whole_frame & (frames[rows] == 0))
        is_frame &= goes_on
        frames[rows[is_frame]] = at[is_frame]
        is_scan = goes_on & (markers == START_OF_SCAN)
        scans[rows[is_scan]] = at[is_scan]
        num_channels = data[frames[rows[is_scan]] + 9]
        next_at = at + 2 + lengths
        # Behind the header of the scan, at least the end of the image must follow.
        ends_well = next_at[is_scan] + 2 <= limits[is_scan] + _LONGEST_FRAME_HEADER
        is_whole[rows[is_scan]] = (data[at[is_scan] + 4] == num_channels) & ends_well
        goes_on &= ~is_scan & (next_at <= limits)
        rows, at, limits = rows[goes_on], next_at[goes_on], limits[goes_on]
    return np.where(is_whole, frames, 0), scans


def _big_endian(data: Bytes, at: Numbers) -> Numbers:
    return data[at].astype(np.int64) << 8 | data[at + 1]
