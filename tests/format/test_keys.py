from __future__ import annotations

import hashlib
import logging
import re
from typing import Literal
from urllib.parse import unquote_to_bytes

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arrowimg._format.keys import (
    MAX_EXTENSION_LENGTH,
    MAX_KEY_LENGTH,
    UNNAMED_PREFIX,
    are_unique,
    check_member_names,
    check_unique,
    check_unique_column,
    sample_key,
    sample_key_column,
    sample_keys,
)
from arrowimg.errors import DuplicateIdError, SampleKeyError

KEY = re.compile(r"[A-Za-z0-9_%][A-Za-z0-9_%~-]{0,83}", re.ASCII)

# What tar tools, shells, file systems and index readers stumble over.
HOSTILE = [
    *("", ".", "..", "...", "a.", ".a", ".hidden", "img.v1", "img.v1.2", "img.v1.3", "a.jpg"),
    "a.JPG",
    *("a/b", "a//b", "/", "/abs", "/etc/passwd", "../x", "../../x", "a/../b", "a/./b", "a/"),
    "./a",
    *("C:\\x", "C:/x", "a\\b", "\\\\host\\share", "CON", "NUL", "con.txt", "AUX ", "a:b", "a?b"),
    "a*b",
    *("a\0b", "a\0c", "a", "\0", "a\nb", "a\r\nb", "a\tb", "a b", " a", "a ", "\x1b[31m", "\x7f"),
    "\x85",
    *("-", "--", "-rf", "--checkpoint-action=exec=sh", "~", "~root", "|id", "$(id)", "`id`"),
    *("a;b", "a&b"),
    *("pipe:cat", "{000..999}", "a{1,2}", "%", "%%", "%2F", "%2f", "a%2Fb", "%~", "%~aaaa"),
    "%72ow-1",
    *("row-", "row-1", "row-000000000", "Row-1", "row_1", "row", "_", "__", "__key__", "__url__"),
    "_a",
    *("caf\u00e9", "cafe\u0301", "\u202egpj.exe", "\ufeffa", "a\u200bb", "\u00df", "\ufb03"),
    "\U0001f408",
    *("\u0130", "i\u0307", "\uff0e\uff0e\uff0fa", "\u2028", "\ufffd", "\uffff", "\U0010ffff"),
    "\u0660",
    *("x" * 84, "x" * 85, "x" * 84 + "y", "x" * 300, "x" * 300 + "y", "/" * 28, "/" * 29),
    "\u00e9" * 14,
    *("\u00e9" * 15, "x" * 54 + "/a" * 20, "x" * 53 + "/a" * 20, "-" + "x" * 83, "a" * 70_000),
    *("0", "00"),
]
IDS = st.text(max_size=60) | st.text("a.%~/-_r\0", max_size=120) | st.sampled_from(HOSTILE)


def unescaped(key: str) -> str:
    """Read a key that was not cut, by URL rules: an independent inverse."""
    return "" if key == "%" else unquote_to_bytes(key).decode()


class TestSampleKey:
    @pytest.mark.parametrize(
        "image_id",
        ["a", "cat_0017", "IMG-2024-01-01", "0", "_a", "x" * 84, "row", "row_1", "Row-1"],
    )
    def test_safe_ids_are_their_own_key(self, image_id: str) -> None:
        assert sample_key(image_id) == image_id

    @pytest.mark.parametrize(
        ("image_id", "key"),
        [
            ("", "%"),
            (".", "%2E"),
            ("cats/0017.v2", "cats%2F0017%2Ev2"),
            ("a\0b\n", "a%00b%0A"),
            ("-rf", "%2Drf"),
            ("a-b", "a-b"),
            ("__key__", "%5F_key__"),
            ("row-7", "%72ow-7"),
            ("%72ow-7", "%2572ow-7"),
            ("caf\u00e9", "caf%C3%A9"),
            ("~", "%7E"),
            ("\u0660", "%D9%A0"),
        ],
    )
    def test_other_bytes_are_escaped(self, image_id: str, key: str) -> None:
        assert sample_key(image_id) == key

    def test_no_two_hostile_ids_share_a_key(self) -> None:
        keys = [sample_key(image_id) for image_id in HOSTILE]

        assert len(set(HOSTILE)) == len(HOSTILE) >= 60
        assert len(set(keys)) == len(keys)

    @given(IDS)
    def test_every_key_is_portable(self, image_id: str) -> None:
        key = sample_key(image_id)

        assert KEY.fullmatch(key)
        assert not key.startswith((UNNAMED_PREFIX, "__"))
        assert len(f"{key}.{'x' * MAX_EXTENSION_LENGTH}".encode()) <= 100

    @given(IDS)
    def test_a_key_that_was_not_cut_gives_the_id_back(self, image_id: str) -> None:
        key = sample_key(image_id)
        assume("~" not in key)

        assert unescaped(key) == image_id

    @given(st.lists(IDS, unique=True))
    def test_different_ids_have_different_keys(self, image_ids: list[str]) -> None:
        assert len({sample_key(image_id) for image_id in image_ids}) == len(image_ids)

    @given(st.text(min_size=85, max_size=200))
    def test_a_cut_key_is_no_other_ids_key(self, image_id: str) -> None:
        key = sample_key(image_id)

        assert sample_key(key) != key

    @given(st.text(min_size=85, max_size=2000))
    def test_long_ids_are_cut_and_end_in_their_digest(self, image_id: str) -> None:
        start, mark, digest = sample_key(image_id).partition("%~")
        raw = image_id.encode()
        whole = int.from_bytes(hashlib.blake2b(raw, digest_size=16).digest()) << 2

        assert mark == "%~"
        assert raw.startswith(unquote_to_bytes(start) if start else b"")
        assert 52 <= len(start) <= 54
        assert digest == "".join(
            "abcdefghijklmnopqrstuvwxyz234567"[whole >> shift & 31] for shift in range(125, -1, -5)
        )

    def test_the_longest_key_is_84_characters(self) -> None:
        assert sample_key("/" * 28) == "%2F" * 28
        assert len(sample_key("/" * 28)) == MAX_KEY_LENGTH == 84
        assert "~" in sample_key("/" * 29)
        assert "~" in sample_key("x" * 85)

    def test_ids_that_differ_after_the_cut_differ(self) -> None:
        keys = {sample_key("x" * 100 + str(number)) for number in range(1000)}

        assert len(keys) == 1000


class TestSampleKeys:
    def test_rows_without_an_id_are_numbered(self) -> None:
        assert sample_keys([None, "a", None], "row-7f-", 40) == [
            "row-7f-000000040",
            "a",
            "row-7f-000000042",
        ]

    @given(st.lists(st.none() | IDS, max_size=20), st.integers(0, 10**9))
    def test_all_keys_of_a_batch_differ(self, image_ids: list[str | None], first: int) -> None:
        named = [image_id for image_id in image_ids if image_id is not None]
        assume(len(set(named)) == len(named))

        assert len(set(sample_keys(image_ids, UNNAMED_PREFIX, first))) == len(image_ids)

    def test_ids_in_two_rows_are_listed_with_their_rows(self) -> None:
        with pytest.raises(DuplicateIdError) as caught:
            sample_keys(["a", "b", None, "a", "c", "b", "a", None], "row-", 100)

        assert caught.value.offenders == ("'a' in rows 100, 103, 106", "'b' in rows 101, 105")

    def test_ids_that_differ_by_case_only_are_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, "arrowimg"):
            keys = sample_keys(["Img", "img", "other"], "row-", 0)

        assert keys == ["Img", "img", "other"]
        assert ["differ by case only" in record.getMessage() for record in caplog.records] == [True]

    def test_ids_that_differ_by_more_are_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        sample_keys(["img", "img2", None, None, "caf\u00e9", "cafe\u0301"], "row-", 0)

        assert caplog.records == []

    @pytest.mark.parametrize("image_id", ["a", "a/b", "train/cats/0017", "_a/b-", "x" * 84])
    def test_verbatim_ids_are_names_already(self, image_id: str) -> None:
        assert sample_keys([image_id], "row-", 0, "verbatim") == [image_id]

    @pytest.mark.parametrize(
        "image_id",
        [
            *("", ".", "..", "a.b", "/a", "a/", "a//b", "../a", "a/-b", "-a", "a b", "a\n", "a\0"),
            *("a\\b", "caf\u00e9", "a%20", "~a", "row-1", "__key__", "x" * 85, "\u0660"),
        ],
    )
    def test_other_ids_are_refused_verbatim(self, image_id: str) -> None:
        with pytest.raises(SampleKeyError) as caught:
            sample_keys(["fine", image_id, "fine/too"], "row-", 0, "verbatim")

        assert caught.value.offenders == (f"row 1: {image_id!r}",)

    def test_verbatim_needs_an_id_in_every_row(self) -> None:
        with pytest.raises(SampleKeyError, match="row 1: None"):
            sample_keys(["a", None], "row-", 0, "verbatim")

    def test_verbatim_counts_rows_from_the_first(self) -> None:
        with pytest.raises(SampleKeyError) as caught:
            sample_keys(["a", "b.c"], "row-", 500, "verbatim")

        assert caught.value.offenders == ("row 501: 'b.c'",)

    def test_verbatim_ids_in_two_rows_are_refused(self) -> None:
        with pytest.raises(DuplicateIdError, match="'a/b' in rows 0, 1"):
            sample_keys(["a/b", "a/b"], "row-", 0, "verbatim")


class TestCheckUnique:
    def test_rows_without_a_key_do_not_count(self) -> None:
        check_unique([None, "a", None], ["x", "a", "x"])

        with pytest.raises(DuplicateIdError, match="'x' in rows 5, 7"):
            check_unique(["k", None, "k"], ["x", None, "y"], 5)

    @given(st.lists(st.sampled_from("abc") | st.none(), max_size=6))
    def test_only_repeated_keys_are_refused(self, keys: list[str | None]) -> None:
        named = [key for key in keys if key is not None]
        repeats = {key for key in named if named.count(key) > 1}
        try:
            check_unique(keys, keys)
            offenders: tuple[str, ...] = ()
        except DuplicateIdError as error:
            offenders = error.offenders

        assert {offender[1] for offender in offenders} == repeats


class TestCheckMemberNames:
    @given(st.lists(IDS, unique=True, max_size=5))
    def test_names_made_from_keys_pass(self, image_ids: list[str]) -> None:
        names = [
            f"{sample_key(image_id)}.{ext}" for image_id in image_ids for ext in ("jpg", "txt")
        ]
        check_member_names(names)

        assert all(len(name) <= 100 for name in names)

    @pytest.mark.parametrize(
        "name",
        [
            *(
                "",
                ".",
                "..",
                ".a.jpg",
                "/a.jpg",
                "../a.jpg",
                "a/../b.jpg",
                "a/",
                "a//b.jpg",
                "-a.jpg",
            ),
            *("~a", "a b.jpg", "a\n", "a\0", "a\\b.jpg", "C:\\a.jpg", "caf\u00e9.jpg", "x" * 101),
            *("|id", "a/-b"),
        ],
    )
    def test_other_names_are_refused(self, name: str) -> None:
        with pytest.raises(SampleKeyError) as caught:
            check_member_names(["a.jpg", name])

        assert caught.value.offenders == (repr(name),)

    def test_a_name_stands_once(self) -> None:
        with pytest.raises(DuplicateIdError, match=re.escape("'a.jpg' in rows 0, 2")):
            check_member_names(["a.jpg", "b.jpg", "a.jpg"])


class TestColumns:
    @given(
        image_ids=st.lists(st.none() | IDS | st.text("aB0_-", max_size=3), max_size=9),
        style=st.sampled_from(["escaped", "verbatim"]),
    )
    def test_keys_of_a_column_are_those_of_its_ids(
        self, image_ids: list[str | None], style: Literal["escaped", "verbatim"]
    ) -> None:
        column = pa.array(["before", *image_ids, None], pa.string())[1:-1]
        try:
            keys, refused = sample_keys(image_ids, UNNAMED_PREFIX, 7, style), None
        except (DuplicateIdError, SampleKeyError) as error:
            keys, refused = [], error
        if refused is None:
            made = sample_key_column(column, UNNAMED_PREFIX, 7, style)
            assert made.type == pa.string()
            assert made.to_pylist() == keys
        else:
            with pytest.raises(type(refused)) as caught:
                sample_key_column(column, UNNAMED_PREFIX, 7, style)
            assert str(caught.value) == str(refused)

    @pytest.mark.parametrize("image_ids", [["a", "b-1", "C_2"], ["x" * 84, "0"]])
    def test_ids_that_are_keys_are_the_column_itself(self, image_ids: list[str]) -> None:
        column = pa.array(image_ids)

        assert sample_key_column(column, UNNAMED_PREFIX, 0) is column

    def test_a_column_of_ids_that_differ_by_case_only_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        sample_key_column(pa.array(["cat", "Cat", "dog"]), UNNAMED_PREFIX, 0)

        assert "differ by case only" in caplog.text

    @given(st.lists(st.none() | st.sampled_from("abc"), max_size=6))
    def test_texts_are_unique_where_none_stands_twice(self, texts: list[str | None]) -> None:
        present = [text for text in texts if text is not None]
        halves = [pa.array(half, pa.string()) for half in (texts[:2], texts[2:])]

        assert are_unique(pa.chunked_array(halves)) == (len({*present}) == len(present))

    def test_a_key_in_two_chunks_is_refused_with_its_rows(self) -> None:
        keys = pa.chunked_array([["a", "b"], ["c", "a", None, None]])
        check_unique_column(keys[:3], keys[:3])

        with pytest.raises(DuplicateIdError, match="'a' in rows 0, 3"):
            check_unique_column(keys, keys)
