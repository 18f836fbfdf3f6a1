from __future__ import annotations

import io
import shutil
import string
import subprocess
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tar_data import archive_of, framed, members_of

from arrowimg._format.tar import (
    END_OF_ARCHIVE,
    Frames,
    column_members,
    sample_members,
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


def test_members_are_passed_on_without_a_copy() -> None:
    data = pa.array([b"a" * 100, b"b" * 700], pa.large_binary())
    names = pa.array(["a.jpg", "b.jpg"])
    at = data.buffers()[2].address

    members = column_members([names], [data], np.arange(2))
    pieces = Frames().surround(members)

    views = [np.frombuffer(view, np.uint8) for view in pieces.views[1::2]]
    assert [view.ctypes.data for view in views] == [at, at + 100]
    assert pieces.buffers[pieces.places[1]].address == at
    assert (pieces.starts[1::2].tolist(), pieces.sizes[1::2].tolist()) == ([0, 100], [100, 700])


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


rows_of_members = st.lists(
    st.tuples(st.none() | st.binary(max_size=600), st.none() | st.binary(max_size=20)), max_size=6
)


@given(rows=rows_of_members, data=st.data())
def test_samples_stand_member_by_member_what_is_null_left_out(
    rows: list[tuple[bytes | None, bytes | None]], data: st.DataObject
) -> None:
    keys = pa.array([f"key{row}" for row in range(len(rows))], pa.string())
    members = sample_members(
        keys,
        {
            "txt": pa.array([text for _, text in rows], pa.large_binary()),
            "jpg": pa.array([picture for picture, _ in rows], pa.large_binary()),
        },
    )
    expected = [
        (f"key{row}.{extension}", content)
        for row, (picture, text) in enumerate(rows)
        for extension, content in (("jpg", picture), ("txt", text))
        if content is not None
    ]
    start = data.draw(st.integers(0, len(expected)))
    stop = data.draw(st.integers(start, len(expected)))
    some = members.slice(start, stop)

    assert framed(members) + END_OF_ARCHIVE == archive_of(expected)
    assert framed(some) + END_OF_ARCHIVE == archive_of(expected[start:stop])
    assert [bytes(member) for member in some.data.views] == [
        content for _, content in expected[start:stop]
    ]


@given(archives)
def test_what_buffers_hold_there_is_what_views_show(archive: list[tuple[str, int]]) -> None:
    members = members_of(
        [(name, bytes([at + 1]) * size) for at, (name, size) in enumerate(archive)]
    )
    pieces = Frames().surround(members)
    places = np.array([pieces.places, pieces.starts, pieces.sizes])

    assert places.dtype == np.int64
    assert places.shape == (3, len(pieces.views)) == (3, 2 * len(archive) + 1)
    assert [
        bytes(memoryview(pieces.buffers[buffer]).cast("B")[start : start + size])
        for buffer, start, size in places.T.tolist()
    ] == [*map(bytes, pieces.views)]


@given(st.lists(archives, max_size=4))
def test_frames_are_used_again_for_any_other_members(archives: list[list[tuple[str, int]]]) -> None:
    frames, groups = Frames(), [[(name, bytes(size)) for name, size in one] for one in archives]
    written = [b"".join(frames.surround(members_of(group)).views) for group in groups]

    assert written == [framed(members_of(group)) for group in groups]


def test_frames_grow_with_the_members() -> None:
    frames = Frames()

    for count in (0, 1, 2, 3, 2, 4, 5):
        members = members_of([(f"{at}.jpg", b"12345") for at in range(count)])
        assert b"".join(frames.surround(members).views) == framed(members)
        assert len(framed(members)) == 1024 * count


def test_slices_are_not_copied() -> None:
    members = members_of(MEMBERS)
    some = members.slice(1, 3)

    assert np.shares_memory(some.names, members.names)
    assert some.data.starts.tolist() == members.data.starts.tolist()[1:3]
    assert np.shares_memory(some.data.starts, members.data.starts)
