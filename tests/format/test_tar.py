from __future__ import annotations

import io
import shutil
import string
import subprocess
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tar_data import archive_of, columns_of, framed

from arrowimg._format.tar import (
    END_OF_ARCHIVE,
    framed_members,
    tar_header,
    tar_nbytes,
)

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = string.ascii_letters + string.digits + "_%~.-"

names = st.text(LETTERS, min_size=1, max_size=100)
sizes = st.one_of(
    st.integers(0, 3000),
    st.sampled_from([0, 1, 511, 512, 513, 1024, 5120, 10240]),
)
archives = st.lists(st.tuples(names, sizes), max_size=6, unique_by=lambda member: member[0])

MEMBERS = [("cat.jpg", b""), ("dog%2Fa.jpg", b"d" * 512), ("e" * 96 + ".jpg", b"e" * 700)]


def reference_archive_of(members: list[tuple[str, bytes]]) -> bytes:
    """Write the same members with the standard library."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return sink.getvalue()


def listed_by(program: str, path: Path) -> list[str]:
    """List an archive with another program; it must not print a warning."""
    found = shutil.which(program)
    if found is None and program == "bsdtar":
        pytest.skip("bsdtar is not installed")
    assert found is not None
    listing = subprocess.run([found, "-tf", str(path)], capture_output=True, text=True, check=True)
    assert listing.stderr == ""
    return listing.stdout.splitlines()


@given(archives)
@example([])
@example([("a" * 100, 0), ("b", 512), ("c", 1024)])
@example([("only", 10240)])
def test_the_bytes_are_those_of_the_standard_library_up_to_the_padding_at_the_end(
    members: list[tuple[str, int]],
) -> None:
    filled = [(name, bytes([at + 1]) * size) for at, (name, size) in enumerate(members)]

    archive = archive_of(filled)

    reference = reference_archive_of(filled)
    assert reference.startswith(archive)
    assert not any(reference[len(archive) :])
    assert archive.endswith(END_OF_ARCHIVE)


@given(archives)
def test_sizes_add_up_to_the_archive(members: list[tuple[str, int]]) -> None:
    archive = archive_of([(name, bytes(size)) for name, size in members])
    nbytes = [tar_nbytes(size) for _, size in members]

    assert len(archive) == sum(nbytes) + 1024
    assert tar_nbytes(np.array([size for _, size in members], np.int64)).tolist() == nbytes


def test_data_is_passed_on_without_a_copy() -> None:
    names, data = columns_of(MEMBERS)
    _, passed, _ = framed_members(names.slice(1), data.slice(1))

    assert passed.buffers()[2].address == data.buffers()[2].address
    assert passed.to_pylist() == [content for _, content in MEMBERS[1:]]


def test_headers_say_nothing_of_time_or_user() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive_of(MEMBERS))) as tar:
        members = tar.getmembers()

    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {
        (0, 0, 0, "", "", 0o644)
    }
    assert {m.type for m in members} == {tarfile.REGTYPE}
    assert all(m.pax_headers == {} for m in members)


def test_the_largest_size_that_ustar_can_say_is_said_right() -> None:
    header = tar_header("a.jpg", 8**11 - 1)

    assert tarfile.TarInfo.frombuf(header, "ascii", "strict").size == 8**11 - 1


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_other_programs_list_every_name_in_order(program: str, tmp_path: Path) -> None:
    path = tmp_path / "images.tar"
    path.write_bytes(archive_of(MEMBERS))

    assert listed_by(program, path) == [name for name, _ in MEMBERS]


@given(archives, st.data())
def test_members_of_a_slice_are_framed_as_by_themselves(
    archive: list[tuple[str, int]], data: st.DataObject
) -> None:
    members = [(name, bytes([at + 1]) * size) for at, (name, size) in enumerate(archive)]
    start = data.draw(st.integers(0, len(members)))
    stop = data.draw(st.integers(start, len(members)))
    some = (column.slice(start, stop - start) for column in columns_of(members))
    headers, contents, zeros = (column.to_pylist() for column in framed_members(*some))

    assert b"".join(
        piece for row in zip(headers, contents, zeros, strict=True) for piece in row
    ) == framed(members[start:stop])
    assert {len(header) for header in headers} <= {512}
