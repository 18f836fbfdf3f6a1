from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from arrowimg import ImageWriterStage, JpegOptions, PixelOptions, WriteOptions
from arrowimg._format.keys import MAX_EXTENSION_LENGTH
from arrowimg._write.options import WriteKeywords, option_differences
from arrowimg.errors import OptionError

NAN, INFINITY = float("nan"), float("inf")
NOT_A_NUMBER_OF_THINGS = (0, -1, 1.0, 2.5, True, "3", None, NAN, [1])
NOT_A_BOOL: tuple[object, ...] = (0, 1, "yes", None, [])

REFUSED: dict[type[msgspec.Struct], dict[str, tuple[object, ...]]] = {
    JpegOptions: {
        "quality": (0, 101, -5, 92.0, True, "92", None, NAN),
        "subsampling": ("4:1:1", "420", "", None, 2, ["4:2:0"]),
        "progressive": NOT_A_BOOL,
        "optimize": NOT_A_BOOL,
    },
    PixelOptions: {
        "alpha": (
            *("grey", "", None, 255, (1, 2), (1, 2, 3, 4), (0, 0, 256), (0, 0, -1)),
            *((0, 0, 1.0), (0, 0, True), [1, 2, 3]),
        ),
        "float_range": (
            *(1, "01", (1, 0), (1, 1), (0,), (0, 1, 2), [0, 1], ("0", "1"), (False, True)),
            *((0, NAN), (NAN, 1), (0, INFINITY), (-INFINITY, 0), (None, 1)),
        ),
        "uint16_range": ((0, 1.5), (5, 5), (9, 0), (0.0, 1.0), (False, True), (0,), 65_535, "x"),
        "bool_values": ((0, 256), (-1, 0), (0, 1, 2), (0,), (0.0, 1.0), (False, True), 255, [0, 1]),
        "clip": NOT_A_BOOL,
        "layout": ("HWC", "hw", "", 0, ["hwc"]),
        "color": ("RGB", "gray", "", None),
        "max_pixels": NOT_A_NUMBER_OF_THINGS,
    },
    WriteOptions: {
        "images_per_tar": NOT_A_NUMBER_OF_THINGS,
        "remove_image_data": NOT_A_BOOL,
        "jpeg": (None, {"quality": 5}, JpegOptions, 92),
        "pixels": (None, {"clip": True}, JpegOptions()),
        "image_column": ("", None, 5, ["image"]),
        "on_error": ("skip", "", None, True),
        "encode_threads": (0, -1, 1.0, True, "3"),
        "members": (
            *(None, "txt", ["txt"], {"": "a"}, {"jpg": "a"}, {"TXT": "a"}, {".txt": "a"}),
            *({"txt.": "a"}, {"a..b": "a"}, {"a/b": "a"}, {"a b": "a"}, {"txt\n": "a"}, {5: "a"}),
            *({"\u00e9": "a"}, {"x" * (MAX_EXTENSION_LENGTH + 1): "a"}),
            *({"txt": None}, {"txt": 5}, {"txt": []}, {"txt": ["a", 5]}, {"txt": ("a",)}),
        ),
        "max_bytes_per_tar": (0, 2559, -1, 1e6, True, "1GB"),
        "keys": ("raw", "", None),
        "checksum": ("md5", "", None, "crc32"),
        "reencode": NOT_A_BOOL,
        "if_exists": ("replace", "", None, True),
        "durability": ("none", "", None, True),
        "keep_quarantined": NOT_A_BOOL,
        "max_error_fraction": (-0.01, 1.01, 5, True, "0.1", NAN, INFINITY),
    },
}
TAKEN: dict[type[msgspec.Struct], dict[str, tuple[object, ...]]] = {
    JpegOptions: {
        "quality": (1, 50, 100),
        "subsampling": ("4:4:4", "4:2:2", "4:2:0"),
        "progressive": (True, False),
        "optimize": (True, False),
    },
    PixelOptions: {
        "alpha": ("white", "black", "drop", "error", (0, 127, 255)),
        "float_range": (None, (0, 1), (-1.5, 2.5), (0, 255)),
        "uint16_range": (None, (0, 65_535), (100, 4095)),
        "bool_values": (None, (0, 255), (255, 0), (7, 7)),
        "clip": (True, False),
        "layout": (None, "hwc", "chw"),
        "color": ("rgb", "bgr"),
        "max_pixels": (1, 2**40),
    },
    WriteOptions: {
        "images_per_tar": (1, 10**9),
        "remove_image_data": (True, False),
        "jpeg": (JpegOptions(quality=1),),
        "pixels": (PixelOptions(clip=True),),
        "image_column": ("image", "\u00e9", "a b"),
        "on_error": ("raise", "quarantine"),
        "encode_threads": (None, 1, 64),
        "members": ({}, {"txt": "a", "json": ["a", "b"]}, {"seg.png": "m"}, {"0": "a"}),
        "max_bytes_per_tar": (None, 2560, 2**40),
        "keys": ("escaped", "verbatim"),
        "checksum": ("xxh3_128", "sha256"),
        "reencode": (True, False),
        "if_exists": ("verify", "skip", "overwrite", "error"),
        "durability": ("full", "process"),
        "keep_quarantined": (True, False),
        "max_error_fraction": (None, 0, 0.01, 1),
    },
}
NOT_RECORDED = {
    "encode_threads": 2,
    "on_error": "quarantine",
    "if_exists": "skip",
    "durability": "process",
    "max_error_fraction": 0.5,
}


def cases(table: dict[type[msgspec.Struct], dict[str, tuple[object, ...]]]) -> list[Any]:
    return [
        pytest.param(kind, name, value, id=f"{kind.__name__}-{name}-{at}")
        for kind, options in table.items()
        for name, values in options.items()
        for at, value in enumerate(values)
    ]


class TestEveryOption:
    @pytest.mark.parametrize("kind", [JpegOptions, PixelOptions, WriteOptions])
    def test_is_tried_here(self, kind: type[msgspec.Struct]) -> None:
        assert set(REFUSED[kind]) == set(TAKEN[kind]) == set(kind.__struct_fields__)

    @pytest.mark.parametrize(("kind", "name", "value"), cases(REFUSED))
    def test_refuses_nonsense_when_made(
        self, kind: type[msgspec.Struct], name: str, value: object
    ) -> None:
        with pytest.raises(OptionError) as caught:
            kind(**{name: value})

        assert caught.value.option == name
        assert repr(caught.value.found) in repr(value)
        assert str(caught.value).startswith(f"{name}: expected {caught.value.expected}, found ")

    @pytest.mark.parametrize(("kind", "name", "value"), cases(TAKEN))
    def test_takes_sense(self, kind: type[msgspec.Struct], name: str, value: object) -> None:
        assert getattr(kind(**{name: value}), name) == value

    @pytest.mark.parametrize(("kind", "name", "value"), cases(TAKEN))
    def test_survives_json(self, kind: type[msgspec.Struct], name: str, value: object) -> None:
        options = kind(**{name: value})

        assert msgspec.json.decode(msgspec.json.encode(options), type=kind) == options

    @pytest.mark.parametrize("kind", [JpegOptions, PixelOptions, WriteOptions])
    def test_cannot_be_changed_or_misspelt(self, kind: type[msgspec.Struct]) -> None:
        (name, *_) = kind.__struct_fields__
        with pytest.raises(AttributeError, match="immutable"):
            setattr(kind(), name, None)
        with pytest.raises(TypeError, match="qualty"):
            kind(qualty=5)
        with pytest.raises(msgspec.ValidationError, match="qualty"):
            msgspec.convert({"qualty": 5}, kind)

        assert kind() == kind()


class TestConvert:
    @pytest.mark.parametrize(
        ("kind", "data", "message"),
        [
            (JpegOptions, {"quality": 101}, "quality: expected an int from 1 to 100, found 101"),
            (PixelOptions, {"float_range": [1, 0]}, r"float_range: .*found \(1(\.0)?, 0(\.0)?\)"),
            (PixelOptions, {"alpha": [0, 0, 256]}, r"alpha: .*found \(0, 0, 256\)"),
            (WriteOptions, {"jpeg": {"quality": 0}}, r"quality: .*found 0 - at `\$.jpeg`"),
            (WriteOptions, {"members": {"jpg": "a"}}, "members: .*found 'jpg'"),
            (WriteOptions, {"images_per_tar": "5"}, "Expected `int`, got `str`"),
        ],
    )
    def test_data_is_checked_like_calls(
        self, kind: type[msgspec.Struct], data: dict[str, object], message: str
    ) -> None:
        with pytest.raises(msgspec.ValidationError, match=message):
            msgspec.convert(data, kind)

    def test_lists_become_ranges(self) -> None:
        data = {"float_range": [0, 1], "alpha": [1, 2, 3], "bool_values": [0, 255]}

        assert msgspec.convert(data, PixelOptions) == PixelOptions(
            float_range=(0, 1), alpha=(1, 2, 3), bool_values=(0, 255)
        )


class TestOptionDifferences:
    def test_each_differing_option_has_a_line(self) -> None:
        lines = option_differences({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 5, "d": "x"})

        assert lines == [
            "b: 2 there, 5 here",
            "c: 3 there, None here",
            "d: None there, 'x' here",
        ]

    def test_equal_options_have_none(self) -> None:
        assert option_differences(WriteOptions().recorded(), WriteOptions().recorded()) == []


class TestMatte:
    @pytest.mark.parametrize(
        ("alpha", "matte"),
        [
            ("white", (255, 255, 255)),
            ("black", (0, 0, 0)),
            ((1, 2, 3), (1, 2, 3)),
            ("drop", None),
            ("error", None),
        ],
    )
    def test_matte_is_the_colour_under_the_picture(self, alpha: Any, matte: object) -> None:  # noqa: ANN401
        assert PixelOptions(alpha=alpha).matte == matte


class TestWriteOptions:
    def test_the_keywords_of_writers_are_its_fields(self) -> None:
        positional = {"images_per_tar", "remove_image_data"}

        assert (
            set(WriteKeywords.__annotations__) == set(WriteOptions.__struct_fields__) - positional
        )

    def test_recorded_options_are_json_and_leave_out_what_changes_no_shard(self) -> None:
        recorded = WriteOptions(members={"txt": "a"}, encode_threads=3).recorded()

        assert set(WriteOptions.__struct_fields__) - set(recorded) == set(NOT_RECORDED)
        assert json.loads(json.dumps(recorded)) == json.loads(msgspec.json.encode(recorded))
        assert recorded["jpeg"]["quality"] == 92

    @pytest.mark.parametrize("name", NOT_RECORDED)
    def test_what_changes_no_shard_is_not_recorded(self, name: str) -> None:
        changed: dict[str, Any] = {name: NOT_RECORDED[name]}

        assert WriteOptions(**changed).recorded() == WriteOptions().recorded()

    @pytest.mark.parametrize(
        "changed",
        [
            {"jpeg": JpegOptions(quality=91)},
            {"pixels": PixelOptions(alpha="drop")},
            {"images_per_tar": 5},
            {"keys": "verbatim"},
            {"checksum": "sha256"},
            {"reencode": True},
            {"remove_image_data": True},
            {"members": {"txt": "a"}},
            {"max_bytes_per_tar": 10**6},
            {"image_column": "image"},
            {"keep_quarantined": True},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_everything_else_is_recorded(self, changed: dict[str, Any]) -> None:
        assert WriteOptions(**changed).recorded() != WriteOptions().recorded()

    def test_the_order_of_members_is_not_recorded(self) -> None:
        one = WriteOptions(members={"txt": "a", "json": "b"}).recorded()
        other = WriteOptions(members={"json": "b", "txt": "a"}).recorded()

        assert json.dumps(one) == json.dumps(other)

    @pytest.mark.parametrize(("limit", "members"), [(None, None), (2560, 1536), (10**6, 998_976)])
    def test_the_end_of_the_archive_counts(self, limit: int | None, members: int | None) -> None:
        assert WriteOptions(max_bytes_per_tar=limit).max_members_nbytes == members

    @pytest.mark.parametrize(
        "options",
        [
            {"images_per_tar": 0},
            {"verbose": 1},
            {"deterministic_name": None},
            {"remove_image_data": "no"},
            {"keys": "raw"},
        ],
    )
    def test_the_stage_refuses_nonsense_when_made(self, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError) as caught:
            ImageWriterStage("unused", **options)

        assert {caught.value.option: caught.value.found} == options


def test_what_is_recorded_equals_what_is_read_again() -> None:
    pixels = PixelOptions(float_range=(0, 1), uint16_range=(0, 4095), bool_values=(0, 255))
    recorded = WriteOptions(pixels=pixels, members={"json": ["a", "b"]}).recorded()

    assert json.loads(json.dumps(recorded)) == recorded
