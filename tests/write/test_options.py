from __future__ import annotations

import json
import pickle
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from msgspec import structs
from stage_data import seven_faces

from arrowimg import (
    ImageBatch,
    ImageColumn,
    ImageWriterStage,
    JpegOptions,
    PixelOptions,
    ShardWriter,
    WriteOptions,
    merge,
    reshard,
    write_shards,
)
from arrowimg._format.keys import MAX_EXTENSION_LENGTH
from arrowimg._write.options import WriteKeywords, option_differences
from arrowimg.errors import KeywordError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

JPEG = JpegOptions(quality=80)
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
        "keep": ("png", ["jpeg"], ["png", "heic"], None, ("PNG",), {"png": True}, [5]),
        "images": (
            *(None, "mask", ["mask"], {"": "a"}, {"PNG": "a"}, {".png": "a"}, {"a/b.png": "a"}),
            *({"txt": "a"}, {"mask": "a"}, {5: "a"}, {"x" * MAX_EXTENSION_LENGTH + ".png": "a"}),
            *({"png": ""}, {"png": None}, {"png": 5}, {"png": ["a"]}, {"png": "image_data"}),
            *({"webp": "a"}, {"mask.tiff": ImageColumn("a")}, {"a.png": "m", "b.png": "m"}),
            *({"jpg": ImageColumn("a", keep=True)}, {"a.png": ImageColumn("a", jpeg=JPEG)}),
        ),
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
        "keep": (("png",), ("bmp", "gif", "png", "tiff", "webp"), ()),
        "images": (
            *({}, {"png": ImageColumn("m")}, {"seg.webp": ImageColumn("m", keep=True)}),
            {"a.jpg": ImageColumn("m", jpeg=JPEG), "b.jpeg": ImageColumn("n", keep=True)},
        ),
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
# What has no effect, and is refused, unless this is chosen too.
NEEDED: dict[str, dict[str, object]] = {
    "keep_quarantined": {"on_error": "quarantine"},
    "max_error_fraction": {"on_error": "quarantine"},
}


def cases(table: dict[type[msgspec.Struct], dict[str, tuple[object, ...]]]) -> list[Any]:
    return [
        pytest.param(kind, name, value, id=f"{kind.__name__}-{name}-{at}")
        for kind, options in table.items()
        for name, values in options.items()
        for at, value in enumerate(values)
    ]


def made_with(kind: type[msgspec.Struct], name: str, value: object) -> msgspec.Struct:
    needed = NEEDED.get(name, {}) if kind is WriteOptions else {}
    return kind(**{**needed, name: value})


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
        assert getattr(made_with(kind, name, value), name) == value

    @pytest.mark.parametrize(("kind", "name", "value"), cases(TAKEN))
    def test_survives_json(self, kind: type[msgspec.Struct], name: str, value: object) -> None:
        options = made_with(kind, name, value)

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


class TestPictures:
    def test_jpg_is_another_way_to_say_the_image_column(self) -> None:
        options = WriteOptions(images={"jpg": "photo", "mask.png": "mask"})

        assert options == WriteOptions(image_column="photo", images={"mask.png": "mask"})
        assert options.image_column == "photo"
        assert options.images == {"mask.png": ImageColumn("mask")}

    def test_both_ways_may_not_contradict_one_another(self) -> None:
        assert WriteOptions(image_column="a", images={"jpg": "a"}).image_column == "a"
        with pytest.raises(OptionError, match="not both"):
            WriteOptions(image_column="a", images={"jpg": "b"})

    @pytest.mark.parametrize(
        "options",
        [
            {"images": {"png": "mask"}, "members": {"png": "other"}},
            {"images": {"png": "mask"}, "keep": ["png"]},
            {"keep": ["png"], "members": {"png": "other"}},
        ],
    )
    def test_an_extension_is_one_things(self, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match="extension"):
            WriteOptions(**options)

    def test_what_is_kept_is_a_set(self) -> None:
        assert WriteOptions(keep=["webp", "png", "webp"]).keep == ("png", "webp")

    def test_records_lead_back_to_the_same_options(self) -> None:
        column = ImageColumn("control", jpeg=JPEG, pixels=PixelOptions(clip=True))
        images: dict[str, Any] = {"mask.png": "mask", "control.jpg": column}
        options = WriteOptions(images=images, keep=("png",))

        assert msgspec.convert(options.recorded(), WriteOptions) == options

    def test_a_file_states_a_later_version_only_where_these_are_used(self) -> None:
        assert WriteOptions().format_version == 1
        assert WriteOptions(keep=("png",)).format_version == 3
        assert WriteOptions(images={"png": "mask"}).format_version == 3


class TestWriteOptions:
    def test_the_keywords_of_writers_are_its_fields(self) -> None:
        keywords = {*WriteKeywords.__annotations__} - {"options"}

        assert keywords == {*WriteOptions.__struct_fields__} - {
            "images_per_tar",
            "remove_image_data",
        }

    def test_recorded_options_are_json_and_leave_out_what_changes_no_shard(self) -> None:
        recorded = WriteOptions(members={"txt": "a"}, encode_threads=3).recorded()

        where_used = {"keep", "images"}
        left_out = set(WriteOptions.__struct_fields__) - set(recorded)
        assert left_out == set(NOT_RECORDED) | where_used
        assert json.loads(json.dumps(recorded)) == json.loads(msgspec.json.encode(recorded))
        assert recorded["jpeg"]["quality"] == 92

    @pytest.mark.parametrize("name", NOT_RECORDED)
    def test_what_changes_no_shard_is_not_recorded(self, name: str) -> None:
        changed: Any = made_with(WriteOptions, name, NOT_RECORDED[name])

        assert changed.recorded() == WriteOptions().recorded()

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
            {"keep_quarantined": True, "on_error": "quarantine"},
            {"keep": ("png",)},
            {"images": {"png": "mask"}},
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


class TestCombinations:
    @pytest.mark.parametrize(
        ("option", "value"),
        [("keep_quarantined", True), ("max_error_fraction", 0.5), ("max_error_fraction", 0)],
    )
    def test_what_has_no_effect_is_refused(self, option: str, value: Any) -> None:  # noqa: ANN401
        with pytest.raises(OptionError, match='on_error="quarantine"') as caught:
            WriteOptions(**{option: value})

        assert (caught.value.option, caught.value.found) == (option, value)


class TestMembers:
    def test_what_becomes_of_the_callers_mapping_does_not_show(self) -> None:
        members: dict[str, str | list[str]] = {"txt": "caption", "json": ["caption", "score"]}
        options = WriteOptions(members=members)
        recorded = options.recorded()

        members["cls"] = "label"
        members["json"].append("label")  # type: ignore[union-attr]

        assert options.members == {"txt": "caption", "json": ["caption", "score"]}
        assert options.recorded() == recorded

    def test_any_mapping_will_do_and_is_pickled_as_a_dict(self) -> None:
        options = WriteOptions(members=MappingProxyType({"txt": "caption"}))

        assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301  # our own bytes
        assert options.recorded()["members"] == {"txt": "caption"}


class TestNumPyScalars:
    @pytest.mark.parametrize(
        ("of_numpy", "of_python"),
        [
            (
                WriteOptions(
                    images_per_tar=np.int64(7),  # type: ignore[arg-type]
                    max_bytes_per_tar=np.uint32(4096),  # type: ignore[arg-type]
                    encode_threads=np.int8(2),  # type: ignore[arg-type]
                    remove_image_data=np.True_,  # type: ignore[arg-type]
                    on_error=np.str_("quarantine"),  # type: ignore[arg-type]
                    max_error_fraction=np.float32(0.5),  # type: ignore[arg-type]
                ),
                WriteOptions(
                    images_per_tar=7,
                    max_bytes_per_tar=4096,
                    encode_threads=2,
                    remove_image_data=True,
                    on_error="quarantine",
                    max_error_fraction=0.5,
                ),
            ),
            (JpegOptions(quality=np.uint8(80)), JpegOptions(quality=80)),  # type: ignore[arg-type]
            (
                PixelOptions(
                    alpha=(np.uint8(1), np.uint8(2), np.uint8(3)),  # type: ignore[arg-type]
                    uint16_range=(np.uint16(0), np.uint16(4095)),  # type: ignore[arg-type]
                    float_range=(np.float32(0), np.float64(1)),  # type: ignore[arg-type]
                    clip=np.True_,  # type: ignore[arg-type]
                ),
                PixelOptions(
                    alpha=(1, 2, 3), uint16_range=(0, 4095), float_range=(0.0, 1.0), clip=True
                ),
            ),
        ],
        ids=["write", "jpeg", "pixels"],
    )
    def test_are_taken_for_pythons_and_recorded_as_such(
        self, of_numpy: msgspec.Struct, of_python: msgspec.Struct
    ) -> None:
        assert of_numpy == of_python
        assert msgspec.json.encode(of_numpy) == msgspec.json.encode(of_python)
        assert repr(of_numpy) == repr(of_python)

    @pytest.mark.parametrize("value", [np.float64(7), np.True_, np.datetime64(7, "s")])
    def test_that_are_no_whole_numbers_are_refused(self, value: Any) -> None:  # noqa: ANN401
        with pytest.raises(OptionError, match="images_per_tar: expected an int"):
            WriteOptions(images_per_tar=value)


def write_a_batch(folder: Path, **options: Any) -> object:  # noqa: ANN401
    return write_shards(ImageBatch.from_arrays([]), folder, **options)


class TestMisspelt:
    @pytest.mark.parametrize(
        "made",
        [
            ImageWriterStage,
            ShardWriter,
            write_a_batch,
            lambda folder, **options: reshard(folder, folder / "new", **options),
            lambda folder, **options: merge([folder], folder / "new", **options),
        ],
        ids=["stage", "writer", "write_shards", "reshard", "merge"],
    )
    @pytest.mark.parametrize(
        ("keyword", "close"),
        [
            ("image_per_tar", "images_per_tar"),
            ("check_sum", "checksum"),
            ("quality", "jpeg=JpegOptions(quality=80)"),
            ("sub_sampling", "jpeg=JpegOptions(subsampling=80)"),
            ("float_range", "pixels=PixelOptions(float_range=80)"),
        ],
    )
    def test_the_close_name_comes_first(
        self,
        made: Any,  # noqa: ANN401
        keyword: str,
        close: str,
        tmp_path: Path,
    ) -> None:
        with pytest.raises(KeywordError) as caught:
            made(tmp_path, **{keyword: 80})

        error = caught.value
        assert isinstance(error, TypeError)
        assert (error.keyword, error.close) == (keyword, close)
        assert f"no option is called {keyword!r}; did you mean {close}?" in str(error)

    def test_the_names_of_other_parameters_are_known_too(self, tmp_path: Path) -> None:
        with pytest.raises(KeywordError, match="did you mean progress"):
            write_a_batch(tmp_path, progres=True)
        with pytest.raises(KeywordError, match="did you mean shuffle_seed"):
            reshard(tmp_path, tmp_path / "new", shuffle_seeds=1)  # type: ignore[call-arg]

    def test_every_other_name_is_listed(self) -> None:
        with pytest.raises(KeywordError) as caught:
            ImageWriterStage("out", xyzzy=1)  # type: ignore[call-arg]

        assert caught.value.close == ""
        assert {*caught.value.others} == {
            *WriteOptions.__struct_fields__,
            *("options", "output_dir", "verbose", "deterministic_name", "storage_options"),
        }

    @pytest.mark.parametrize(
        ("kind", "keyword", "close"),
        [
            (JpegOptions, "qualty", "quality"),
            (PixelOptions, "colour", "color"),
            (WriteOptions, "on_errors", "on_error"),
        ],
    )
    def test_within_the_options_too(self, kind: Any, keyword: str, close: str) -> None:  # noqa: ANN401
        with pytest.raises(KeywordError) as caught:
            kind(**{keyword: 80})

        assert caught.value.close == close


class TestOptionsAtOnce:
    """`options=` wherever its keywords are."""

    @pytest.mark.parametrize(
        "chosen",
        [
            lambda folder, *rest, **more: ImageWriterStage(folder, *rest, **more).options,
            lambda folder, *rest, **more: ShardWriter(folder, *rest, **more).options,
        ],
        ids=["stage", "writer"],
    )
    def test_are_taken_as_they_are_and_refined_by_what_stands_beside(
        self,
        chosen: Any,  # noqa: ANN401
        tmp_path: Path,
    ) -> None:
        for removed in (True, False):
            options = WriteOptions(images_per_tar=5, remove_image_data=removed, reencode=True)

            assert chosen(tmp_path, options=options) == options
            refined = chosen(tmp_path, 7, options=options, checksum="sha256")
            assert refined == structs.replace(options, images_per_tar=7, checksum="sha256")

    def test_write_what_the_keywords_write(self, tmp_path: Path) -> None:
        batch = seven_faces()
        options = WriteOptions(
            images_per_tar=3, remove_image_data=True, jpeg=JpegOptions(quality=70)
        )

        write_shards(batch, tmp_path / "once", options=options)
        write_shards(batch, tmp_path / "named", 3, jpeg=JpegOptions(quality=70))

        once, named = (
            {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
            for name in ("once", "named")
        )
        assert once == named

    def test_what_the_stage_is_told_beside_them_counts(self, tmp_path: Path) -> None:
        options = WriteOptions(remove_image_data=False)

        assert ImageWriterStage(tmp_path, 1000, False, True, True, options=options).options == (  # noqa: FBT003
            structs.replace(options, remove_image_data=True)
        )

    @pytest.mark.parametrize("other", [{"images_per_tar": 3}, JpegOptions(), "fast"])
    def test_of_another_type_are_refused(self, other: Any) -> None:  # noqa: ANN401
        with pytest.raises(OptionError, match="options: expected WriteOptions"):
            ImageWriterStage("out", options=other)


def test_what_is_recorded_equals_what_is_read_again() -> None:
    pixels = PixelOptions(float_range=(0, 1), uint16_range=(0, 4095), bool_values=(0, 255))
    recorded = WriteOptions(pixels=pixels, members={"json": ["a", "b"]}).recorded()

    assert json.loads(json.dumps(recorded)) == recorded
