"""One thing at a time is damaged in good shards, and `verify` must notice each; and nothing else.

Every class of bytes is hit: fields of tar headers, data, padding and end marks, pages, page index,
footer and checksum of sidecars; files are cut, lengthened, swapped, renamed and deleted.
"""

from __future__ import annotations

import random
import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from fault_tools import say
from writer_program import make_batch, make_stage

import arrowimg
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECK = "damage"
BLOCK = 512
DATA = "data"
SUFFIXES = ((".tar",), (".parquet",), (".tar", ".parquet"))
HEADER_FIELDS = {
    "name": (0, 100),
    "mode": (100, 108),
    "uid": (108, 116),
    "gid": (116, 124),
    "size": (124, 136),
    "mtime": (136, 148),
    "checksum": (148, 156),
    "type": (156, 157),
    "link name": (157, 257),
    "magic": (257, 265),
    "owner": (265, 329),
    "devices": (329, 345),
    "prefix": (345, 500),
    "unused": (500, 512),
}


class Damaging(msgspec.Struct, frozen=True):
    """One damage.

    Attributes
    ----------
    kind
        For the figures.
    detail
        Which bytes of which file.
    files
        What stands in the folder afterwards, by name; a name with None is deleted.
    """

    kind: str
    detail: str
    files: dict[str, bytes | None]


def flipped(data: bytes, at: int, mask: int) -> bytes:
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def tar_classes(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield class, start and stop of every stretch of a tar that arrowimg wrote."""
    at = 0
    while data[at : at + BLOCK].strip(b"\0"):
        size = int(data[at + 124 : at + 135], 8)
        for field, (start, stop) in HEADER_FIELDS.items():
            yield f"header: {field}", at + start, at + stop
        yield DATA, at + BLOCK, at + BLOCK + size
        end = at + BLOCK + size
        at = end + -end % BLOCK
        if at > end:
            yield "padding", end, at
    yield "end mark", at, len(data)


def sidecar_classes(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield class, start and stop of the stretches of a sidecar."""
    footer_start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    metadata = pq.read_metadata(memory_file(data))
    pages_stop = 4
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            column = metadata.row_group(group).column(at)
            start = column.dictionary_page_offset or column.data_page_offset
            pages_stop = max(pages_stop, start + column.total_compressed_size)
            yield "pages", start, start + column.total_compressed_size
    yield "magic", 0, 4
    yield "page index", pages_stop, footer_start
    yield "footer", footer_start, len(data) - 8
    own = data.rfind(b"arrowimg.checksum")
    yield "checksum", own, own + len("arrowimg.checksum") + 2 + 32
    yield "footer length", len(data) - 8, len(data) - 4
    yield "magic", len(data) - 4, len(data)


def memory_file(data: bytes) -> Any:  # noqa: ANN401  # pyarrow has no types
    import pyarrow as pa

    return pa.BufferReader(data)


def flips(files: dict[str, bytes], generator: random.Random, per_class: int) -> Iterator[Damaging]:
    """Yield flipped bits, some in every class of bytes of every file."""
    for name, data in files.items():
        if name.endswith(".json"):
            continue
        classes = tar_classes if name.endswith(".tar") else sidecar_classes
        stretches: dict[str, list[int]] = {}
        for kind, start, stop in classes(data):
            stretches.setdefault(kind, []).extend(range(start, stop))
        for kind, places in stretches.items():
            for at in generator.sample(places, min(per_class, len(places))):
                mask = generator.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])
                what = "tar" if name.endswith(".tar") else "sidecar"
                yield Damaging(
                    f"{what}: {kind}", f"{name} at {at}", {name: flipped(data, at, mask)}
                )


def cuts(files: dict[str, bytes], generator: random.Random, per_file: int) -> Iterator[Damaging]:
    """Yield files that end too early or too late."""
    for name, data in files.items():
        places = range(0, len(data), BLOCK)
        for at in generator.sample(places, min(per_file, len(places))):
            yield Damaging("cut", f"{name} at {at}", {name: data[:at]})
        if not name.endswith(".json"):  # white space at the end of JSON means nothing
            yield Damaging("cut", f"{name}, last byte", {name: data[:-1]})
            yield Damaging("lengthened", f"{name} by a line", {name: data + b"\n"})
        for tail in (b"\0", bytes(BLOCK), bytes(10 * BLOCK), b"PAR1", data):
            yield Damaging("lengthened", f"{name} by {len(tail)}", {name: data + tail})
        for at in generator.sample(places, min(per_file, len(places))):
            end = min(at + BLOCK, len(data))
            zeros = data[:at] + bytes(end - at) + data[end:]
            if zeros != data:
                yield Damaging("zeroed block", f"{name} at {at}", {name: zeros})


def swapped_members(files: dict[str, bytes], tars: list[str]) -> Iterator[Damaging]:
    """Yield tars in which two members of equal size have changed places."""
    for name in tars:
        stretches = [
            (start, stop) for kind, start, stop in tar_classes(files[name]) if kind == DATA
        ]
        for first, second in pairwise(stretches):
            if first[1] - first[0] == second[1] - second[0]:
                data = swapped(files[name], first, second)
                yield Damaging("swapped members", name, {name: data})


def swapped_files(files: dict[str, bytes], stems: list[str]) -> Iterator[Damaging]:
    """Yield files and pairs that have changed places, or that stand in two."""
    for first, second in pairwise(stems):
        for suffixes in SUFFIXES:
            copied: dict[str, bytes | None] = {
                second + suffix: files[first + suffix] for suffix in suffixes
            }
            back: dict[str, bytes | None] = {
                first + suffix: files[second + suffix] for suffix in suffixes
            }
            yield Damaging("copied over", f"{second} {suffixes}", copied)
            yield Damaging("swapped files", f"{first} {suffixes}", copied | back)


def moved_files(files: dict[str, bytes], stems: list[str]) -> Iterator[Damaging]:
    """Yield files and pairs that are gone, or that have another name."""
    for stem in stems:
        for suffixes in SUFFIXES:
            gone: dict[str, bytes | None] = {stem + suffix: None for suffix in suffixes}
            yield Damaging("deleted", f"{stem} {suffixes}", gone)
            renamed: dict[str, bytes | None] = {
                f"{stem[:-1]}9{suffix}": files[stem + suffix] for suffix in suffixes
            }
            yield Damaging("renamed", f"{stem} {suffixes}", gone | renamed)
    for name in files:
        if name.startswith("quarantine-"):
            yield Damaging("deleted", name, {name: None})


def swaps(files: dict[str, bytes]) -> Iterator[Damaging]:
    """Yield members, files and pairs that stand where they should not, or not where they should."""
    stems = sorted(Path(name).stem for name in files if name.endswith(".parquet"))
    yield from swapped_members(files, [f"{stem}.tar" for stem in stems])
    yield from swapped_files(files, stems)
    yield from moved_files(files, stems)


def swapped(data: bytes, first: tuple[int, int], second: tuple[int, int]) -> bytes:
    changed = bytearray(data)
    changed[slice(*first)], changed[slice(*second)] = data[slice(*second)], data[slice(*first)]
    return bytes(changed)


def oversight(folder: Path) -> str:
    """Return how `verify` failed to notice that a folder is damaged, "" where it did."""
    try:
        return "missed" if arrowimg.verify(folder).is_sound else ""
    except ManifestError:
        return ""
    except Exception as error:  # noqa: BLE001  # whatever else it raises is a finding
        return f"{type(error).__name__} raised"


def damage_all(
    folder: Path, files: dict[str, bytes], damages: Iterator[Damaging]
) -> dict[str, tuple[int, list[str]]]:
    """Return how many damages of each kind there were, and which of them were missed."""
    found: dict[str, tuple[int, list[str]]] = {}
    for damage in damages:
        for name, data in damage.files.items():
            if data is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(data)
        count, missed = found.setdefault(damage.kind, (0, []))
        if text := oversight(folder):
            missed.append(f"{text}: {damage.kind}: {damage.detail}")
        found[damage.kind] = (count + 1, missed)
        for name in damage.files:
            if name in files:
                (folder / name).write_bytes(files[name])
            else:
                (folder / name).unlink()
    assert arrowimg.verify(folder).is_sound, "the files were not put back"
    return found


def write_dataset(folder: Path) -> None:
    """Write a small dataset with a manifest, quarantined bytes and members of equal size."""
    batch = make_batch(1, num_images=12)
    bad = arrowimg.ImageBatch.from_arrays(
        [None, np.zeros((4, 4, 7), np.uint8)], ["none", "seven channels"], label=[1, 2]
    )
    options: dict[str, Any] = {
        "on_error": "quarantine",
        "keep_quarantined": True,
        "members": {"txt": "label"},
    }
    with arrowimg.ShardWriter(folder, 5, **options) as writer:
        writer.write(batch)
        writer.write(bad)


def write_batch(folder: Path) -> None:
    """Write one batch by the stage, without a manifest."""
    make_stage(folder, images_per_tar=4, remove_image_data=False).process(make_batch(2, 10))


WAYS: list[Callable[[Path], None]] = [write_dataset, write_batch]


def good_shards(folder: Path, count: int) -> Iterator[Path]:
    """Write good shards, each with other options, and yield the folders that they stand in."""
    generator = random.Random(20)  # noqa: S311  # to be the same every time
    for at in range(count):
        options: dict[str, Any] = {
            "images_per_tar": generator.choice([1, 3, 1000]),
            "checksum": generator.choice(["xxh3_128", "sha256"]),
            "remove_image_data": generator.choice([True, False]),
            "members": generator.choice(
                [{}, {"txt": "label"}, {"json": ["label"], "a.b": "label"}]
            ),
            "jpeg": arrowimg.JpegOptions(
                quality=generator.choice([1, 92, 100]), progressive=generator.choice([True, False])
            ),
            "on_error": "quarantine",
            "keep_quarantined": generator.choice([True, False]),
        }
        images: list[Any] = list(np.full((4, 9, 7, 3), at, np.uint8))
        for row in generator.sample(range(4), generator.choice([0, 0, 1, 4])):
            images[row] = generator.choice([None, np.zeros((3, 3, 7), np.uint8)])
        if not any(image is not None for image in images):
            images[0] = np.zeros((3, 3, 7), np.uint8)
        ids: list[Any] = [None if at % 7 == row else f"{at}/{row}.é" for row in range(4)]
        batch = arrowimg.ImageBatch.from_arrays(images, ids, label=list(range(4)))
        if generator.choice([True, False]):
            arrowimg.write_shards(batch, folder / str(at), progress=False, **options)
        else:
            make_stage(folder / str(at), **options).process(batch)
        yield folder / str(at)


def check(tmp_path: Path, capsys: pytest.CaptureFixture[str], per_class: int, good: int) -> int:
    generator = random.Random(0)  # noqa: S311  # to be the same every time
    found: dict[str, tuple[int, list[str]]] = {}
    for write in WAYS:
        folder = tmp_path / write.__name__
        write(folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert arrowimg.verify(folder).is_sound
        for damages in (
            flips(files, generator, per_class),
            cuts(files, generator, per_class * 4),
            swaps(files),
        ):
            for kind, (count, missed) in damage_all(folder, files, damages).items():
                before = found.get(kind, (0, []))
                found[kind] = (before[0] + count, before[1] + missed)
    total = sum(count for count, _ in found.values())
    missed = [text for _, texts in found.values() for text in texts]
    false_alarms = [
        str(path) for path in good_shards(tmp_path / "good", good) if oversight(path) != "missed"
    ]
    control = blind_to(tmp_path / write_batch.__name__)

    say(
        capsys,
        f"{CHECK}: {total:,} single damages of {len(found)} kinds: {len(missed)} missed; "
        f"{len(false_alarms)} false alarms on {good} good folders; "
        f"control: {control} seen by a reader of tars alone",
    )
    assert not missed, "\n".join(missed[:20])
    assert not false_alarms, false_alarms[:5]
    assert control == 0, "tar readers see damage by themselves: the check proves nothing"
    return total


def blind_to(folder: Path) -> int:
    """Return how many of three damages `tarfile` notices: of data, of padding, of a lost end."""
    import tarfile

    (tar, *_) = sorted(folder.glob("*.tar"))
    data = tar.read_bytes()
    stretches = list(tar_classes(data))
    start = next(start for kind, start, _ in stretches if kind == DATA)
    padding = next(start for kind, start, _ in stretches if kind == "padding")
    second = [start for kind, start, _ in stretches if kind == "header: name"][1]
    noticed = 0
    for damaged in (flipped(data, start + 200, 255), flipped(data, padding, 1), data[:second]):
        copy = folder.parent / "damaged.tar"
        copy.write_bytes(damaged)
        try:
            with tarfile.open(copy) as opened:
                opened.getmembers()
        except tarfile.TarError:
            noticed += 1
    return noticed


def test_verify_finds_damage_of_every_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, capsys, per_class=1, good=20) >= 150


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_verify_finds_thousands_of_damages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, capsys, per_class=16, good=200) >= 2000
    shutil.rmtree(tmp_path)
