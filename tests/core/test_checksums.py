"""How bytes were hashed, told by what is known of their checksum."""

from __future__ import annotations

import hashlib

import pytest
import xxhash

from arrowimg._core.checksums import is_checksum, recorded_checksum

DATA = b"a picture"
CHECKSUMS = {
    "xxh3_128": xxhash.xxh3_128(DATA).digest(),
    "sha256": hashlib.sha256(DATA).digest(),
}


@pytest.mark.parametrize("name", list(CHECKSUMS))
def test_a_checksum_is_known_by_its_length(name: str) -> None:
    assert is_checksum(CHECKSUMS[name], DATA)
    assert not is_checksum(CHECKSUMS[name], DATA + b"!")


@pytest.mark.parametrize("stated", [None, b"", CHECKSUMS["xxh3_128"][:-1], bytes(32)])
def test_what_is_no_checksum_of_the_data_is_none(stated: bytes | None) -> None:
    assert not is_checksum(stated, DATA)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"checksum": "sha256"}, "sha256"),
        ({"checksum": "xxh3_128"}, "xxh3_128"),
        ({}, "xxh3_128"),
    ],
)
def test_recorded_options_tell_how_files_were_hashed(options: dict[str, str], name: str) -> None:
    assert recorded_checksum(options) == name
