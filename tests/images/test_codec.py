from __future__ import annotations

import io
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from file_data import jpeg_rule
from photographs import SKIMAGE, SKLEARN
from PIL import Image, ImageOps
from stage_data import encoded_batch

from arrowimg import ImageBatch, ImageWriterStage, JpegOptions, PixelOptions, WriteOptions
from arrowimg._images.check import check_run
from arrowimg._images.codec.decode import Decoded, decode_image
from arrowimg._images.codec.opencv import encode_jpegs
from arrowimg._images.columns import Files, ImageRun
from arrowimg._images.encode import StoredImages, encode_run
from arrowimg.errors import ErrorCode, ImageError, Problem

if TYPE_CHECKING:
    from pathlib import Path

Pixels = npt.NDArray[np.uint8]

PHOTOGRAPHS = [
    SKIMAGE / "astronaut.png",
    SKIMAGE / "chelsea.png",
    SKIMAGE / "coffee.png",
    SKIMAGE / "rocket.jpg",
    SKLEARN / "china.jpg",
    SKLEARN / "flower.jpg",
]
SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def photograph(number: int) -> Pixels:
    with Image.open(io.BytesIO(PHOTOGRAPHS[number].read_bytes())) as image:
        return np.asarray(image.convert("RGB"))


def crops(num_crops: int) -> list[Pixels]:
    random = np.random.default_rng(1)
    photographs = [photograph(number) for number in range(len(PHOTOGRAPHS))]
    cut = []
    for number in range(num_crops):
        pixels = photographs[number % len(photographs)]
        height, width = random.integers(1, 120, 2)
        top = random.integers(pixels.shape[0] - height + 1)
        left = random.integers(pixels.shape[1] - width + 1)
        cut.append(pixels[top : top + height, left : left + width])
    return cut


CROP = photograph(0)[100:197, 200:331]
PICTURE = Image.fromarray(CROP)
ALPHA = Image.fromarray(np.ascontiguousarray(CROP[::-1, :, 1]))


def with_alpha(mode: str) -> Image.Image:
    image = PICTURE.convert(mode)
    image.putalpha(ALPHA)
    return image


def save(image: Image.Image, kind: str, **settings: Any) -> bytes:  # noqa: ANN401  # Pillow's
    sink = io.BytesIO()
    image.save(sink, kind, **settings)
    return sink.getvalue()


def encode(pixels: Pixels, color: str = "rgb", **options: Any) -> bytes:  # noqa: ANN401
    (encoded,) = encode_jpegs([pixels], JpegOptions(**options), color=color)

    assert isinstance(encoded, np.ndarray)
    return encoded.tobytes()


def decode(data: bytes) -> Pixels:
    """Return the picture as (H, W), RGB or RGBA."""
    decoded = decode_image(memoryview(data))

    assert isinstance(decoded, Decoded)
    return decoded.pixels


class StoredImage(msgspec.Struct, frozen=True):
    """One of `StoredImages`."""

    data: bytes
    width: int
    height: int
    channels: int
    action: str


def encode_all(run: ImageRun, **options: Any) -> StoredImages:  # noqa: ANN401
    chosen = WriteOptions(**options)
    rule = jpeg_rule(chosen.pixels, chosen.jpeg, reencode=chosen.reencode)
    return encode_run(check_run(run, rule), rule)


def stored(data: bytes, **options: Any) -> StoredImage | Problem:  # noqa: ANN401
    images = encode_all(Files(pa.array([data], pa.large_binary())), **options)
    if images.problems:
        assert images.data.to_pylist() == [None]
        return images.problems[0]
    return StoredImage(images.data[0].as_py(), *images.sizes[0].tolist(), *images.actions)


class TestEncodeJpeg:
    def test_two_hundred_crops_have_pillows_bytes(self) -> None:
        differing = [
            crop.shape
            for crop in crops(200)
            if encode(crop) != save(Image.fromarray(crop), "JPEG", quality=92)
        ]

        assert differing == []

    def test_two_hundred_gray_crops_have_pillows_bytes(self) -> None:
        gray = [crop[:, :, 1] for crop in crops(200)]
        differing = [
            crop.shape
            for crop in gray
            if encode(crop) != save(Image.fromarray(crop), "JPEG", quality=92)
        ]

        assert differing == []

    @pytest.mark.parametrize("quality", [1, 10, 50, 75, 90, 92, 95, 99, 100])
    @pytest.mark.parametrize("subsampling", SUBSAMPLING)
    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("optimize", [False, True])
    def test_every_option_gives_pillows_bytes(
        self, quality: int, subsampling: str, progressive: bool, optimize: bool  # noqa: FBT001
    ) -> None:  # fmt: skip
        common: dict[str, Any] = {
            "quality": quality,
            "progressive": progressive,
            "optimize": optimize,
        }
        theirs = save(PICTURE, "JPEG", subsampling=SUBSAMPLING[subsampling], **common)

        assert encode(CROP, subsampling=subsampling, **common) == theirs

    @pytest.mark.parametrize("quality", [1, 50, 92, 100])
    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("subsampling", SUBSAMPLING)
    def test_gray_has_no_colour_to_subsample(
        self, quality: int, progressive: bool, subsampling: str  # noqa: FBT001
    ) -> None:  # fmt: skip
        # Pillow writes the factors into gray files too when asked, which some decoders refuse.
        common: dict[str, Any] = {"quality": quality, "progressive": progressive}
        theirs = save(Image.fromarray(CROP[:, :, 1]), "JPEG", **common)

        assert encode(CROP[:, :, 1], subsampling=subsampling, **common) == theirs

    def test_bgr_is_the_same_picture(self) -> None:
        assert encode(CROP[:, :, ::-1], color="bgr") == encode(CROP)

    def test_pixels_are_not_changed(self) -> None:
        pixels = CROP.copy()
        encode(pixels)

        np.testing.assert_array_equal(pixels, CROP)

    @pytest.mark.parametrize(
        "shape",
        [(1, 65_501), (65_501, 1, 3), (0, 5), (5, 0, 3), (4, 4, 2), (4, 4, 5), (2, 4, 4, 3)],
    )
    def test_what_opencv_refuses_is_a_problem(self, shape: tuple[int, ...]) -> None:
        (problem,) = encode_jpegs([np.zeros(shape, np.uint8)], JpegOptions(), color="rgb")

        assert isinstance(problem, Problem)
        assert problem.code is ErrorCode.ENCODE_FAILED

    def test_bytes_do_not_depend_on_threads(self) -> None:
        images = crops(150)
        table = ImageBatch.from_arrays([*images, *images])
        written = []
        for threads in (1, 4):
            options = WriteOptions(encode_threads=threads, pixels=PixelOptions(layout="hwc"))
            parts = [*encoded_batch(table, options).parts]
            tables = pa.concat_tables([part.stored for part in parts])
            written.append(tables["image_data"].to_pylist())

        assert (
            written[0] == [save(Image.fromarray(crop), "JPEG", quality=92) for crop in images] * 2
        )
        assert written[0] == written[1]


class TestEncodeMany:
    @pytest.mark.parametrize("color", ["rgb", "bgr"])
    @pytest.mark.parametrize("size", [(8, 9), (97, 131), (296, 295), (300, 300)])
    @pytest.mark.parametrize("count", [1, 2, 30])
    def test_a_stack_gives_the_bytes_of_its_pictures(
        self, color: str, size: tuple[int, int], count: int
    ) -> None:
        large = photograph(0)
        stack = np.stack([large[at : at + size[0], at : at + size[1]] for at in range(count)])
        before = stack.copy()
        theirs = [save(Image.fromarray(picture), "JPEG", quality=92) for picture in stack]
        given = stack if color == "rgb" else np.ascontiguousarray(stack[..., ::-1])

        for pictures in (given, list(given), iter(given)):
            encoded = encode_jpegs(pictures, JpegOptions(), color=color)
            assert [bytes(data) for data in encoded if isinstance(data, np.ndarray)] == theirs
        np.testing.assert_array_equal(stack, before)

    def test_pictures_of_any_shapes_follow_one_another(self) -> None:
        pictures = crops(40)
        mixed = [each for crop in pictures for each in (crop, crop[:, :, 1], crop[::-1, ::2])]
        encoded = encode_jpegs(mixed, JpegOptions(), color="rgb")

        assert [bytes(data) for data in encoded if isinstance(data, np.ndarray)] == [
            save(Image.fromarray(np.ascontiguousarray(picture)), "JPEG", quality=92)
            for picture in mixed
        ]

    @pytest.mark.parametrize(
        "stack",
        [
            pytest.param(np.stack([CROP] * 5).transpose(0, 2, 1, 3), id="turned"),
            pytest.param(np.stack([CROP] * 5)[::-1, ::2, ::-1], id="backwards"),
            pytest.param(np.stack([CROP] * 5)[..., 0], id="gray"),
        ],
    )
    def test_a_stack_may_lie_in_memory_as_it_likes(self, stack: Pixels) -> None:
        encoded = encode_jpegs(stack, JpegOptions(), color="rgb")

        assert [bytes(data) for data in encoded if isinstance(data, np.ndarray)] == [
            save(Image.fromarray(np.ascontiguousarray(picture)), "JPEG", quality=92)
            for picture in stack
        ]

    @pytest.mark.parametrize("shape", [(0, 5, 6, 3), (0, 5, 6), (0, 0, 6, 3)])
    def test_no_pictures_are_no_bytes(self, shape: tuple[int, ...]) -> None:
        assert [*encode_jpegs(np.zeros(shape, np.uint8), JpegOptions(), color="rgb")] == []

    def test_one_that_opencv_refuses_is_a_problem_among_the_others(self) -> None:
        pictures = [CROP, np.zeros((4, 4, 2), np.uint8), CROP[:, :, 0]]
        first, problem, last = encode_jpegs(pictures, JpegOptions(), color="rgb")

        assert isinstance(problem, Problem)
        assert isinstance(first, np.ndarray)
        assert isinstance(last, np.ndarray)
        assert [bytes(first), bytes(last)] == [encode(CROP), encode(CROP[:, :, 0])]

    @pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
    @pytest.mark.parametrize(
        "shape", [(2, 768, 1024, 3), (1, 99, 32_767, 3), (1, 99, 32_768, 3), (9, 128, 128, 3)]
    )
    @pytest.mark.parametrize("made", ["np.asarray", "list"])
    def test_opencv_starts_no_threads_of_its_own(self, shape: tuple[int, ...], made: str) -> None:
        script = (
            "import os, cv2, numpy as np\n"
            "from arrowimg._images.codec.opencv import encode_jpegs\n"
            "from arrowimg import JpegOptions\n"
            "cv2.setNumThreads(4)\n"
            "count = lambda: len(os.listdir('/proc/self/task'))\n"
            "before = count()\n"
            f"pictures = {made}(np.zeros({shape}, np.uint8))\n"
            "list(encode_jpegs(pictures, JpegOptions(), color='rgb'))\n"
            "encoding = count()\n"
            "cv2.cvtColor(np.zeros((4096, 4096, 3), np.uint8), cv2.COLOR_RGB2BGR)\n"
            "print(encoding - before, count() - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )

        ours, opencvs = map(int, done.stdout.split())
        assert ours == 0
        assert opencvs > 0, "or nothing would have been seen"


class TestDecodeImage:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
    def test_lossless_files_hold_pillows_pixels(self, kind: str, mode: str) -> None:
        data = save(PICTURE.convert(mode), kind)
        with Image.open(io.BytesIO(data)) as image:
            theirs = np.asarray(image.convert("RGB"))
        ours = decode(data)

        np.testing.assert_array_equal(ours if ours.ndim == 3 else np.dstack([ours] * 3), theirs)

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            ("WEBP", {"lossless": True}),
            ("WEBP", {"quality": 80}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("TIFF", {"compression": "tiff_deflate"}),
            ("TIFF", {"compression": "packbits"}),
            ("TIFF", {"compression": "jpeg"}),
            ("JPEG", {"quality": 92}),
            ("JPEG", {"progressive": True}),
            ("JPEG", {"subsampling": 0}),
        ],
        ids=str,
    )
    def test_compressed_files_hold_pillows_pixels(
        self, kind: str, settings: dict[str, Any]
    ) -> None:
        data = save(PICTURE, kind, **settings)
        with Image.open(io.BytesIO(data)) as image:
            theirs = np.asarray(image.convert("RGB"))

        np.testing.assert_array_equal(decode(data), theirs)

    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_the_first_of_several_pictures_is_taken(self, kind: str) -> None:
        others = [PICTURE.rotate(90), PICTURE.rotate(180)]
        data = save(PICTURE, kind, save_all=True, append_images=others)
        with Image.open(io.BytesIO(data)) as image:
            theirs = np.asarray(image.convert("RGB"))

        np.testing.assert_array_equal(decode(data)[:, :, :3], theirs)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_pictures_are_turned_upright(self, kind: str, orientation: int, order: str) -> None:
        exif: Any = Image.Exif()
        exif[0x0112] = orientation
        if kind != "TIFF":
            mark, entry = (
                {"<": b"II*\x00", ">": b"MM\x00*"}[order],
                (0x0112, 3, 1, orientation, 0, 0),
            )
            exif = b"Exif\x00\x00" + mark + struct.pack(f"{order}IHHHIHHI", 8, 1, *entry)
        data = save(PICTURE, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
        with Image.open(io.BytesIO(data)) as image:
            theirs = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))

        np.testing.assert_array_equal(decode(data), theirs)

    @pytest.mark.parametrize(
        "exif", [b"", b"II", b"II*\x00", b"II*\x00\xff\xff\xff\xff", b"XX*\x00"]
    )
    def test_broken_exif_turns_nothing(self, exif: bytes) -> None:
        data = save(PICTURE, "PNG", exif=b"Exif\x00\x00" + exif)

        np.testing.assert_array_equal(decode(data), CROP)

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG"])
    @pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
    def test_half_a_file_is_a_problem(self, kind: str, share: float) -> None:
        data = save(PICTURE, kind)
        image = stored(data[: int(len(data) * share)], reencode=True)

        assert isinstance(image, Problem)
        assert image.code in (ErrorCode.DECODE_FAILED, ErrorCode.TRUNCATED, ErrorCode.CORRUPT)


class TestStoredFiles:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_copied_jpeg_keeps_its_bytes(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = save(PICTURE, "JPEG", exif=exif, quality=70)
        image = stored(data)

        assert isinstance(image, StoredImage)
        assert (bytes(image.data), image.action) == (data, "copied")
        assert (image.height, image.width, image.channels) == CROP.shape

    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("CMYK", 4)])
    def test_copied_jpeg_says_its_channels(self, mode: str, channels: int) -> None:
        image = stored(save(PICTURE.convert(mode), "JPEG"))

        assert isinstance(image, StoredImage)
        assert (image.action, image.channels) == ("copied", channels)

    def test_reencoded_jpeg_is_upright_and_new(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        data = save(PICTURE, "JPEG", exif=exif, quality=95)
        with Image.open(io.BytesIO(data)) as image:
            upright = np.asarray(ImageOps.exif_transpose(image))
        again = stored(data, reencode=True, jpeg=JpegOptions(quality=50))

        assert isinstance(again, StoredImage)
        assert bytes(again.data) == save(Image.fromarray(upright), "JPEG", quality=50)
        assert (again.action, again.height, again.width) == ("transcoded", *upright.shape[:2])

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
    @pytest.mark.parametrize("mode", ["1", "L", "RGB"])
    def test_other_formats_become_the_jpeg_of_their_pixels(self, kind: str, mode: str) -> None:
        flat = PICTURE.convert(mode)
        image = stored(save(flat, kind), pixels=PixelOptions(color="bgr", layout="chw"))
        theirs = flat if mode == "RGB" else flat.convert("L")

        assert isinstance(image, StoredImage)
        assert bytes(image.data) == save(theirs, "JPEG", quality=92)
        assert (image.action, image.channels) == ("transcoded", 3 if mode == "RGB" else 1)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(save(with_alpha("RGBA"), "PNG"), id="PNG"),
            pytest.param(save(with_alpha("LA"), "PNG"), id="PNG, gray"),
            pytest.param(save(PICTURE, "PNG", transparency=(0, 0, 0)), id="PNG, one colour"),
            pytest.param(
                save(PICTURE.convert("P"), "PNG", transparency=bytes(range(256))), id="PNG, palette"
            ),
            pytest.param(save(with_alpha("RGBA"), "WEBP", lossless=True), id="WebP"),
            pytest.param(save(with_alpha("RGBA"), "TIFF"), id="TIFF"),
            pytest.param(save(with_alpha("RGBA"), "GIF"), id="GIF"),
            pytest.param(save(PICTURE.convert("L"), "PNG", transparency=99), id="PNG, one gray"),
            pytest.param(save(with_alpha("LA"), "TIFF"), id="TIFF, gray"),
        ],
    )
    def test_transparent_files_are_laid_over_the_matte(self, data: bytes) -> None:
        with Image.open(io.BytesIO(data)) as image:
            rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255))
        expected = np.asarray(Image.alpha_composite(ground, rgba).convert("RGB")).astype(int)
        image_stored = stored(data, jpeg=JpegOptions(quality=100, subsampling="4:4:4"))

        assert isinstance(image_stored, StoredImage)
        with Image.open(io.BytesIO(image_stored.data)) as jpeg:
            written = np.asarray(jpeg.convert("RGB")).astype(int)
        assert np.abs(written - expected).max() <= 4, "what quality 100 and the matte may round"

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_sixteen_bits_need_a_stated_range(self, kind: str) -> None:
        deep = CROP[:, :, 1].astype(np.uint16) * 257
        data = save(Image.fromarray(deep), kind)
        refused = stored(data)
        image = stored(data, pixels=PixelOptions(uint16_range=(0, 65_535)))

        assert isinstance(refused, Problem)
        assert refused.code is ErrorCode.DTYPE
        assert isinstance(image, StoredImage)
        assert bytes(image.data) == encode(CROP[:, :, 1])

    def test_a_batch_of_files_that_cannot_be_decoded_writes_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        # The codes end too early, and nothing but decoding shows it.
        gif = save(PICTURE, "GIF")
        (tmp_path / "in" / "half.gif").write_bytes(gif[:-40] + b"\xff" * 30 + gif[-10:])
        batch = ImageBatch.from_files([tmp_path / "in" / "half.gif"])
        with pytest.raises(ImageError) as caught:
            ImageWriterStage(tmp_path / "out").process(batch)

        assert [problem.code for problem in caught.value.problems] == [ErrorCode.DECODE_FAILED]
        assert not list(tmp_path.glob("out/*"))
