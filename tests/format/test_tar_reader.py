from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tar_data import archive_of

from arrowimg._format.tar import tar_header
from arrowimg._format.tar_reader import TarMember, read_members

if TYPE_CHECKING:
    from pathlib import Path

MEMBERS = [("cat.jpg", b"c" * 700), ("empty.txt", b""), ("dog.jpg", b"d" * 512)]
ARCHIVE = archive_of(MEMBERS)
READ = [
    TarMember("cat.jpg", 512, 700),
    TarMember("empty.txt", 2048, 0),
    TarMember("dog.jpg", 2560, 512),
]


def read(data: bytes) -> list[TarMember | str]:
    return list(read_members(io.BytesIO(data)))


def sentences(data: bytes) -> list[str]:
    return [found for found in read(data) if isinstance(found, str)]


def standard_archive(kind: int, name: str = "cat.jpg", **fields: int | str) -> bytes:
    """Return an archive of one member, written by the standard library."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=kind) as tar:
        member = tarfile.TarInfo(name)
        member.size = 5
        for field, value in fields.items():
            setattr(member, field, value)
        tar.addfile(member, io.BytesIO(b"hello"))
    return sink.getvalue()


class TestSound:
    def test_members_come_in_order_with_their_places(self) -> None:
        assert read(ARCHIVE) == READ

    def test_an_archive_without_members_is_in_order(self) -> None:
        assert read(bytes(1024)) == []

    def test_places_are_those_that_the_standard_library_finds(self) -> None:
        with tarfile.open(fileobj=io.BytesIO(ARCHIVE)) as tar:
            found = [TarMember(member.name, member.offset_data, member.size) for member in tar]

        assert read(ARCHIVE) == found

    def test_what_the_standard_library_writes_alike_is_in_order_but_for_its_padding(self) -> None:
        whole = standard_archive(tarfile.USTAR_FORMAT)

        assert read(whole[: 1024 + 1024]) == [TarMember("cat.jpg", 512, 5)]
        assert read(whole) == [
            TarMember("cat.jpg", 512, 5),
            "the end mark at byte 1,024 is not two blocks of zeros",
        ]

    @given(
        st.lists(
            st.tuples(st.from_regex(r"[a-z]{1,90}\.jpg", fullmatch=True), st.binary(max_size=1500)),
            max_size=5,
        )
    )
    def test_what_is_written_is_read_back(self, members: list[tuple[str, bytes]]) -> None:
        archive = archive_of(members)
        found = [member for member in read(archive) if isinstance(member, TarMember)]

        assert sentences(archive) == []
        assert [
            (member.name, archive[member.offset : member.offset + member.size]) for member in found
        ] == members


class TestDamaged:
    @pytest.mark.parametrize("nbytes", range(0, len(ARCHIVE), 512))
    def test_an_archive_cut_at_any_block_is_found_out(self, nbytes: int) -> None:
        found = read(ARCHIVE[:nbytes])
        members = [member for member in found if isinstance(member, TarMember)]

        assert len(sentences(ARCHIVE[:nbytes])) == 1
        assert isinstance(found[-1], str)
        assert members == [
            member for member in READ if member.offset + -(-member.size // 512) * 512 <= nbytes
        ]

    @pytest.mark.parametrize("nbytes", [1, 511, 513, 1211, 1212, 1213, len(ARCHIVE) - 1])
    def test_an_archive_cut_anywhere_else_is_found_out(self, nbytes: int) -> None:
        assert len(sentences(ARCHIVE[:nbytes])) == 1

    @pytest.mark.parametrize("more", [b"\0", bytes(512), bytes(8192), b"x" * 512, ARCHIVE])
    def test_anything_behind_the_end_is_found_out(self, more: bytes) -> None:
        assert read(ARCHIVE + more) == [
            *READ,
            "the end mark at byte 3,072 is not two blocks of zeros",
        ]

    @pytest.mark.parametrize("at", [0, 99, 100, 107, 124, 134, 135, 148, 156, 257, 265, 345, 511])
    @pytest.mark.parametrize("start", [0, 1536, 2048], ids=["first", "middle", "last"])
    def test_a_changed_header_ends_the_reading_with_its_place(self, at: int, start: int) -> None:
        damaged = bytearray(ARCHIVE)
        damaged[start + at] ^= 1

        assert read(bytes(damaged)) == [
            *[member for member in READ if member.offset <= start],
            f"the header at byte {start:,} is not what was written",
        ]

    def test_padding_that_is_not_zeros_is_named_and_reading_goes_on(self) -> None:
        damaged = bytearray(ARCHIVE)
        damaged[512 + 700] = 1

        assert read(bytes(damaged)) == [
            READ[0],
            "cat.jpg is followed by something else than zeros",
            *READ[1:],
        ]

    def test_a_size_beyond_the_archive_is_found_out(self) -> None:
        header = tar_header("a.jpg", 10**6)

        assert read(header + bytes(1024)) == ["a.jpg ends behind the end of the archive"]

    @given(st.binary(max_size=2048))
    def test_any_bytes_are_read_without_an_error(self, data: bytes) -> None:
        found = read(data)

        assert data == bytes(1024) or isinstance(found[-1], str)


class TestOthers:
    @pytest.mark.parametrize(
        ("kind", "fields"),
        [
            (tarfile.PAX_FORMAT, {"name": "é.jpg"}),
            (tarfile.GNU_FORMAT, {"name": "x" * 150}),
            (tarfile.GNU_FORMAT, {}),
            (tarfile.USTAR_FORMAT, {"mtime": 1}),
            (tarfile.USTAR_FORMAT, {"mode": 0o755}),
            (tarfile.USTAR_FORMAT, {"uid": 1000}),
            (tarfile.USTAR_FORMAT, {"uname": "root"}),
            (tarfile.USTAR_FORMAT, {"name": "folder/" * 20 + "a.jpg"}),
        ],
    )
    def test_headers_of_another_kind_are_not_what_was_written(
        self, kind: int, fields: dict[str, int | str]
    ) -> None:
        archive = standard_archive(kind, **fields)  # type: ignore[arg-type]  # a name is a field

        assert read(archive) == ["the header at byte 0 is not what was written"]

    def test_an_archive_of_gnu_tar_is_not_what_was_written(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").write_bytes(b"hello")
        command = ["tar", "-cf", str(tmp_path / "a.tar"), "-C", str(tmp_path), "a.jpg"]
        subprocess.run(command, check=True)

        assert sentences((tmp_path / "a.tar").read_bytes()) == [
            "the header at byte 0 is not what was written"
        ]
