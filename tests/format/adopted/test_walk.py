"""A tar that others wrote, gone through once: every member as tarfile sees it."""

from __future__ import annotations

import io
import random
import tarfile

import pytest
import xxhash
from adopt_data import stored_members, tar_of

from arrowimg._format.adopted import walk as walk_module
from arrowimg._format.adopted.walk import MemberKind, TarWalk

LAYOUTS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
FAKE = tarfile.TarInfo("fake.jpg").tobuf()


def walked(data: bytes) -> tuple[list[tuple[str, int, bytes]], TarWalk]:
    """Return name, place and data of each file, and the walk."""
    found, walk = [], TarWalk(io.BytesIO(data), "xxh3_128")
    for window in walk.windows():
        columns = (window.names, window.starts.tolist(), window.sizes.tolist(), window.kinds)
        for name, start, size, kind in zip(*columns, strict=True):
            if kind == MemberKind.FILE:
                at = start - window.begin
                text = name.decode(errors="surrogateescape")
                found.append((text, start, window.data[at : at + size].tobytes()))
    return found, walk


def kinds_of(data: bytes) -> list[tuple[bytes, MemberKind]]:
    windows = TarWalk(io.BytesIO(data), "xxh3_128").windows()
    return [
        (name, MemberKind(kind))
        for window in windows
        for name, kind in zip(window.names, window.kinds, strict=True)
    ]


def mixed_tar(layout: int, seed: int) -> bytes:
    """Return a tar with long names, folders, odd times, and data that looks like headers."""
    rng = random.Random(seed)  # noqa: S311  # of a test
    members = []
    for number in range(60):
        long = rng.choice([3, 80]) if layout == tarfile.USTAR_FORMAT else rng.choice([3, 300])
        nbytes = rng.choice([0, 1, 511, 512, 513, 3000, 20000])
        data = (FAKE * 40)[:nbytes] if number % 7 == 0 else rng.randbytes(nbytes)
        text = "n" if layout == tarfile.USTAR_FORMAT else "ü"
        members.append((f"{'d' * 3}/{text * (long // 2)}{number}.jpg", data))

    def changed(info: tarfile.TarInfo) -> None:
        info.mtime = rng.choice([0, 1.5, 2**30])
        if rng.random() < 0.1:
            info.type, info.size = tarfile.DIRTYPE, 0

    return tar_of(members, layout, changed)


@pytest.mark.parametrize("window", [512, 2048, 5000, 65536, 2**23])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_member_and_byte_is_as_tarfile_sees_it(
    layout: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_module, "_WINDOW_NBYTES", window)
    data = mixed_tar(layout, window)

    found, walk = walked(data)

    assert found == stored_members(data)
    assert walk.problems == []
    assert walk.checksum == xxhash.xxh3_128_hexdigest(data)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tar_that_is_cut_anywhere_keeps_the_members_before(layout: int) -> None:
    data = mixed_tar(layout, 1)
    whole = stored_members(data)

    for nbytes in [0, 1, 511, 512, 513, *range(1000, len(data) - 12_000, 7919)]:
        found, walk = walked(data[:nbytes])
        ended = [it for it in whole if it[1] + len(it[2]) <= nbytes]
        assert found == ended[: len(found)]
        assert len(found) == len(ended)
        assert walk.checksum == xxhash.xxh3_128_hexdigest(data[:nbytes])
        assert walk.problems


def test_a_damaged_header_ends_the_walk_and_is_told() -> None:
    data = bytearray(tar_of([("a.jpg", b"1"), ("b.jpg", b"2"), ("c.jpg", b"3")]))
    data[1024 + 148] ^= 1

    found, walk = walked(bytes(data))

    assert [name for name, _, _ in found] == ["a.jpg"]
    assert walk.problems == ["no header at byte 1,024"]


def test_members_without_bytes_of_their_own_are_told_apart() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, kind in [
            ("folder", tarfile.DIRTYPE),
            ("link.jpg", tarfile.LNKTYPE),
            ("symlink.jpg", tarfile.SYMTYPE),
            ("pipe", tarfile.FIFOTYPE),
            ("file.jpg", tarfile.REGTYPE),
            ("old.jpg", tarfile.AREGTYPE),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "file.jpg"
            tar.addfile(info)

    assert kinds_of(file.getvalue()) == [
        (b"folder/", MemberKind.OTHER),
        (b"link.jpg", MemberKind.LINK),
        (b"symlink.jpg", MemberKind.LINK),
        (b"pipe", MemberKind.OTHER),
        (b"file.jpg", MemberKind.FILE),
        (b"old.jpg", MemberKind.FILE),
    ]


def test_a_member_larger_than_a_window_may_be_is_passed_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(walk_module, "_WINDOW_NBYTES", 1024)
    monkeypatch.setattr(walk_module, "_MOST_HELD_NBYTES", 4096)
    data = tar_of([("a.jpg", b"1"), ("b.mp4", bytes(100_000)), ("c.jpg", b"3")])

    assert kinds_of(data) == [
        (b"a.jpg", MemberKind.FILE),
        (b"b.mp4", MemberKind.TOO_LARGE),
        (b"c.jpg", MemberKind.FILE),
    ]


def test_sizes_that_lie_take_no_memory() -> None:
    info = tarfile.TarInfo("a.jpg")
    info.size = 2**40
    header = info.tobuf(tarfile.GNU_FORMAT)

    assert kinds_of(header + bytes(1024)) == [(b"a.jpg", MemberKind.CUT)]


def test_an_extended_header_without_end_is_no_reason_to_read_on() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**30
    _, walk = walked(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))

    assert walk.problems == ["an extended header of 1,073,741,824 bytes at byte 0"]


def test_a_file_that_becomes_shorter_meanwhile_ends_where_it_ends() -> None:
    class Shrinking(io.BytesIO):
        def seek(self, place: int, whence: int = 0) -> int:
            return super().seek(place, whence) + (5000 if whence == 2 else 0)

    walk = TarWalk(Shrinking(tar_of([("a.jpg", b"1" * 600)])[:1024]), "xxh3_128")

    assert [list(window.kinds) for window in walk.windows()] in ([[MemberKind.CUT]], [[], [2]])
    assert walk.problems
