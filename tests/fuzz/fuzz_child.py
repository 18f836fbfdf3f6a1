"""A process that writes damaged files and shows each to Pillow too; run by `test_fuzz_pictures`.

It prints a line before each file and one behind it, so that whoever reads knows where it died.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

sys.path.insert(0, str(Path(__file__).parent))

from typing import TYPE_CHECKING

from fuzz_corpus import corpus
from fuzz_mutations import mutated

import arrowimg

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_NBYTES = 6 * 2**30
COLOURS = {"RGB", "RGBA", "P"}
OTHERWISE = 6.0
"""Mean difference of pixels from which on a picture is another one; quality 100 gives below 2."""


def main(first: int, last: int) -> None:
    files = corpus()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_NBYTES, MOST_NBYTES))
    jpeg = arrowimg.JpegOptions(quality=100, subsampling="4:4:4")
    stages = [arrowimg.ImageWriterStage("unused", jpeg=jpeg, reencode=it) for it in (False, True)]
    for stage in stages:  # what is imported late is no file's doing
        stage._encode_image_to_bytes(memoryview(files["PNG"][0]))  # type: ignore[arg-type]
    for seed in range(first, last):
        print(json.dumps({"seed": seed}), flush=True)
        kind, data = mutated(files, seed)
        for stage in stages if kind == "JPEG" else stages[:1]:
            print(json.dumps(tried(stage, kind, data)), flush=True)


def tried(stage: arrowimg.ImageWriterStage, kind: str, data: bytes) -> dict[str, object]:
    started, before = time.perf_counter(), peak()
    code, stored = "", b""
    try:
        stored, _ = stage._encode_image_to_bytes(memoryview(data))  # type: ignore[arg-type]
    except arrowimg.errors.ImageError as error:
        code = error.problems[0].code
    except Exception as error:  # noqa: BLE001  # is reported
        code = f"raised {error!r}"
    result: dict[str, object] = {
        "kind": kind,
        "code": str(code),
        "copied": stored == data,
        "seconds": time.perf_counter() - started,
        "megabytes": (peak() - before) // 1024,
    }
    return result if code else result | {"seen": compared(stored, data)}


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Have nothing go to the terminal, not from libraries either."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def compared(stored: bytes, data: bytes) -> str:
    """Return how Pillow sees the file beside what was stored of it."""
    try:
        with silent():  # what libtiff says where Pillow alone asks
            theirs = seen(data)
    except Exception as error:  # noqa: BLE001  # whatever it raises, it refuses
        return f"refused{_kind_of(data)}: {type(error).__name__}: {error}"[:120]
    if stored == data:
        return "same"
    ours = np.asarray(Image.open(io.BytesIO(stored)).convert("RGB")).astype(int)
    if ours.shape != theirs.shape:
        return f"otherwise: {ours.shape}, {theirs.shape}"
    difference = np.abs(ours - theirs).mean()
    return "same" if difference < OTHERWISE else f"otherwise: {difference:.0f}"


def _kind_of(data: bytes) -> str:
    """Return what is odd about a file that Pillow refuses."""
    if b"acTL" in data or b"ANMF" in data:
        return ", animated"
    if data[8:16] == b"WEBPVP8X" and data[20] & ~0x3E:
        return ", reserved bits"
    if data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 < len(data):
        return ", bytes behind"
    return ""


def seen(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return the picture as Pillow shows it: upright, in sRGB, on white."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
        # A profile of colours says nothing of gray.
        profile = opened.info.get("icc_profile") if opened.mode in COLOURS else None
        image: Image.Image = opened
        image.load()
        with contextlib.suppress(SyntaxError):  # EXIF that is none
            image = ImageOps.exif_transpose(opened)
        if "transparency" in image.info or image.mode in {"LA", "PA", "La"}:
            image = image.convert("RGBA")
        image = image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))
        if profile:
            with contextlib.suppress(ImageCms.PyCMSError, OSError):
                given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
                srgb = ImageCms.createProfile("sRGB")
                transform = ImageCms.buildTransform(given, srgb, image.mode, image.mode)
                image = transform.apply(image)
        if image.mode == "RGBA":
            ground = Image.new("RGBA", image.size, (255, 255, 255))
            image = Image.alpha_composite(ground, image)
        return np.asarray(image.convert("RGB")).astype(int)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
