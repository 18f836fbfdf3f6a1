"""Sound image files of six formats, cut out of a photograph, in as many variants as are at hand."""

from __future__ import annotations

import io
import struct
from importlib.resources import files
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

WIDE = (0.61, 0.31, 0.02, 0.205, 0.626, 0.061, 0.149, 0.063, 0.745)
TIFF_MODES = {"raw": "1 L RGB RGBA CMYK LA P", "tiff_lzw": "L RGB RGBA P", "packbits": "1 L RGB"}
TIFF_MODES |= {
    "tiff_adobe_deflate": "L RGB RGBA CMYK",
    "jpeg": "L RGB",
    "group4": "1",
    "group3": "1",
}


def photograph() -> Image.Image:
    data = (files("skimage") / "data" / "chelsea.png").read_bytes()
    return Image.open(io.BytesIO(data)).convert("RGB").crop((120, 80, 193, 133))


def save(image: Image.Image, kind: str, **options: Any) -> bytes:  # noqa: ANN401  # Pillow's
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def corpus() -> dict[str, list[bytes]]:
    """Return sound files by format, in a fixed order."""
    picture = photograph()
    return {
        "JPEG": jpegs(picture),
        "PNG": pngs(picture),
        "GIF": gifs(picture),
        "BMP": bmps(picture),
        "WEBP": webps(picture),
        "TIFF": tiffs(picture),
    }


def with_alpha(picture: Image.Image, mode: str) -> Image.Image:
    image = picture.convert(mode)
    image.putalpha(picture.convert("L").rotate(180))
    return image


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def wide_profile() -> bytes:
    """Return a matrix profile of wide primaries, made from scratch."""

    def fixed(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(it * 65536)) for it in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563) + b"\0\0"
    tags = {b"rXYZ": fixed(*WIDE[:3]), b"gXYZ": fixed(*WIDE[3:6]), b"bXYZ": fixed(*WIDE[6:])}
    tags |= {b"wtpt": fixed(0.9642, 1, 0.8249), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= {b"cprt": b"text\0\0\0\0none\0\0\0\0"}
    tags |= {b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(78) + b"\0"}
    offset, table, body = 132 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        content = value + bytes(-len(value) % 4)
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    start = struct.pack(
        ">I4sI4s4s4s", offset + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ "
    )
    header = start + bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)[8:] + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def jpegs(picture: Image.Image) -> list[bytes]:
    variants: list[dict[str, Any]] = [
        {},
        {"progressive": True},
        {"optimize": True, "subsampling": 0},
        {"restart_marker_blocks": 1},
        {"exif": turned(), "comment": b"\xff\xd9 no end"},
        {"icc_profile": wide_profile()},
    ]
    return [
        save(picture.convert(mode), "JPEG", **it)
        for mode in ("RGB", "L", "CMYK")
        for it in variants
        if mode == "RGB" or "icc_profile" not in it
    ]


def pngs(picture: Image.Image) -> list[bytes]:
    plain = [save(picture.convert(mode), "PNG") for mode in ("1", "L", "P", "RGB")]
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    frames = [picture.rotate(90), picture.rotate(180)]
    return [
        *plain,
        save(with_alpha(picture, "LA"), "PNG"),
        save(with_alpha(picture, "RGBA"), "PNG"),
        save(picture, "PNG", transparency=(0, 0, 0)),
        save(picture.convert("P"), "PNG", transparency=bytes(range(256))),
        save(picture.quantize(4), "PNG", bits=2),
        save(deep, "PNG"),
        save(picture, "PNG", exif=turned()),
        save(picture, "PNG", icc_profile=wide_profile()),
        save(picture, "PNG", icc_profile=srgb_profile()),
        save(picture, "PNG", save_all=True, append_images=frames),
        save(picture, "PNG", save_all=True, append_images=frames, default_image=True),
    ]


def gifs(picture: Image.Image) -> list[bytes]:
    frames = [picture.rotate(90).convert("P"), picture.rotate(180).convert("P")]
    return [
        save(picture.convert("L"), "GIF"),
        save(picture.convert("P"), "GIF"),
        save(picture.convert("P"), "GIF", interlace=0),
        save(picture.convert("P"), "GIF", transparency=7),
        save(picture.quantize(8), "GIF"),
        save(picture.convert("P"), "GIF", save_all=True, append_images=frames, disposal=2),
        placed_gif(picture),
    ]


def placed_gif(picture: Image.Image) -> bytes:
    """Return a GIF whose screen is larger than its frame, and transparent around it."""
    gif = save(picture.convert("P"), "GIF", transparency=3)
    at = gif.index(b"\x2c\0\0\0\0")
    wider = struct.pack("<HH", picture.width + 9, picture.height + 5)
    return gif[:6] + wider + gif[10 : at + 1] + struct.pack("<HH", 4, 2) + gif[at + 5 :]


def bmps(picture: Image.Image) -> list[bytes]:
    plain = [save(picture.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    return [*plain, run_length_bmp(picture, is_4_bit=False), run_length_bmp(picture, is_4_bit=True)]


def run_length_bmp(picture: Image.Image, *, is_4_bit: bool) -> bytes:
    """Return a BMP of run lengths, runs of one value and absolute ones in turn."""
    image = picture.quantize(16 if is_4_bit else 200)
    palette = np.zeros((16 if is_4_bit else 256, 4), np.uint8)
    colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colours), :3] = colours[: len(palette), ::-1]
    data = bytearray()
    for row in np.asarray(image)[::-1]:
        for value in row[:20].tolist():
            data += bytes((1, value * 16 if is_4_bit else value))
        rest = row[20:].tolist()
        pairs = zip(rest[::2], [*rest[1::2], 0], strict=False)
        absolute = bytes(a * 16 + b for a, b in pairs) if is_4_bit else bytes(rest)
        data += bytes((0, len(rest))) + absolute + bytes(len(absolute) % 2) + b"\0\0"
    data += b"\0\1"
    start = 54 + palette.size
    sizes = (start + len(data), 0, start, 40, *image.size, 1)
    coding = (4, 2) if is_4_bit else (8, 1)
    header = b"BM" + struct.pack("<IIIIiiH", *sizes) + struct.pack("<HI", *coding)
    header += struct.pack("<IiiII", len(data), 0, 0, len(palette), 0)
    return header + palette.tobytes() + bytes(data)


def webps(picture: Image.Image) -> list[bytes]:
    frames = [picture.rotate(90), picture.rotate(180)]
    alpha = with_alpha(picture, "RGBA")
    return [
        save(picture, "WEBP", quality=80),
        save(picture, "WEBP", lossless=True),
        save(alpha, "WEBP", quality=80),
        save(alpha, "WEBP", lossless=True),
        save(picture, "WEBP", exif=turned(), icc_profile=wide_profile()),
        save(picture, "WEBP", save_all=True, append_images=frames),
        save(alpha, "WEBP", save_all=True, append_images=frames, lossless=True),
    ]


def tiffs(picture: Image.Image) -> list[bytes]:
    def image(mode: str) -> Image.Image:
        return with_alpha(picture, mode) if mode in {"LA", "RGBA"} else picture.convert(mode)

    made = [
        save(image(mode), "TIFF", compression=None if name == "raw" else name)
        for name, modes in TIFF_MODES.items()
        for mode in modes.split()
    ]
    rgb = np.asarray(picture)
    deep = rgb.astype(np.uint16) * 257
    stacked = np.moveaxis(rgb, 2, 0).copy()
    alpha = np.asarray(with_alpha(picture, "RGBA"))
    written: list[tuple[Any, dict[str, Any]]] = [
        (rgb, {"tile": (16, 32)}),
        (rgb, {"tile": (32, 16), "compression": "zlib", "predictor": True}),
        (rgb, {"compression": "zlib", "predictor": True, "rowsperstrip": 7, "byteorder": ">"}),
        (stacked, {"planarconfig": "separate", "rowsperstrip": 9}),
        (stacked, {"planarconfig": "separate", "compression": "zlib"}),
        (deep, {"compression": "zlib", "predictor": True}),
        (deep[:, :, 0], {"byteorder": ">"}),
        (alpha, {"extrasamples": ["assocalpha"]}),
        (alpha, {"extrasamples": ["unspecified"]}),
    ]
    for array, options in written:
        sink = io.BytesIO()
        kind = "minisblack" if array.ndim == 2 else "rgb"
        tifffile.imwrite(sink, array, photometric=kind, **options)
        made.append(sink.getvalue())
    pages = [picture.rotate(90)]
    return [
        *made,
        save(picture, "TIFF", save_all=True, append_images=pages),
        save(picture, "TIFF", icc_profile=wide_profile(), compression="tiff_lzw"),
    ]
