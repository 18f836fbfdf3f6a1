"""Members grouped into samples: by webdataset's own rule, and with its own function."""

from __future__ import annotations

import io

import pytest
from adopt_data import tar_of
from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext, group_by_keys, tar_file_iterator

from arrowimg._format.adopted.samples import sample_numbers, split_names

NAMES = st.lists(st.text(alphabet="ab./_Ü \n", min_size=1, max_size=12), min_size=1, max_size=20)


@given(NAMES)
def test_names_come_apart_as_webdataset_takes_them_apart(names: list[str]) -> None:
    split = split_names([name.encode() for name in names])

    found = zip(split.keys.to_pylist(), split.extensions.to_pylist(), strict=True)
    for name, (key, extension) in zip(names, found, strict=True):
        prefix, suffix = base_plus_ext(name)
        if not name.startswith("__"):
            assert (key, extension) == (prefix, suffix and suffix.lower())


@pytest.mark.parametrize(
    "names",
    [
        ["a.jpg", "a.json", "b.jpg", "a.txt"],
        ["d.v1/a.b.jpg", "d.v1/a.JSON", "d/a.jpg"],
        ["noext", "a.jpg", ".hidden", "a.txt", "__meta__", "__x__/a.jpg", "b.jpg"],
        ["./a.jpg", "a.jpg", "/a.jpg"],
    ],
)
def test_members_are_in_the_samples_that_webdataset_makes(names: list[str]) -> None:
    file = io.BytesIO(tar_of([(name, name.encode()) for name in names]))
    files = ({**it, "__url__": ""} for it in tar_file_iterator(file))
    expected = [
        (it["__key__"], sorted(name for name in it if not name.startswith("__")))
        for it in group_by_keys(files)
    ]

    split = split_names([name.encode() for name in names])
    rows = [
        (key, extension)
        for key, extension in zip(split.keys.to_pylist(), split.extensions.to_pylist(), strict=True)
        if key is not None
    ]
    numbers = sample_numbers(split.keys.drop_null())
    found = [
        (
            rows[numbers.tolist().index(number)][0],
            sorted(it[1] for it, of in zip(rows, numbers, strict=True) if of == number),
        )
        for number in range(numbers[-1] + 1)
    ]
    assert found == expected


def test_bytes_that_are_no_text_are_spelled() -> None:
    assert split_names([b"a\xff.jpg", b"b.jpg"]).names.to_pylist() == ["a\\xff.jpg", "b.jpg"]
