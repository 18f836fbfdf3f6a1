"""Whatever a file holds, it is a picture as Pillow shows it, or a row with a code."""

from __future__ import annotations

import fuzz_report
import pytest
from fuzz_corpus import corpus

from arrowimg._images.codec.decode import Decoded, decode_image


def check(first: int, last: int) -> None:
    report = fuzz_report.run(first, last)
    print(report.text())

    assert report.num_files == last - first
    assert report.codes["written"] > report.num_files // 10, "or little would have been compared"
    assert len(report.codes) > 5
    assert report.crashes == {}
    assert report.raised == {}
    assert report.slow == {}
    assert report.large == {}
    assert report.unexpected() == {}
    assert report.noise == []
    assert [it for it in report.copied.values() if not it.startswith(fuzz_report.COPIED)] == []
    assert len(report.copied) < fuzz_report.MOST_COPIED * report.num_files


def test_sound_files_are_taken() -> None:
    for kind, files in corpus().items():
        for number, data in enumerate(files):
            assert isinstance(decode_image(memoryview(data)), Decoded), (kind, number)


def test_some_hundred_damaged_files() -> None:
    check(0, 400)


@pytest.mark.fuzz
def test_ten_thousand_damaged_files() -> None:
    check(0, 10_000)
