"""Datasets that mean harm: sound ones, forged by a seeded generator in one place or a few."""

from __future__ import annotations

import base64
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from stage_data import seven_faces

import arrowimg
from arrowimg._format.parquet import write_parquet
from arrowimg._format.sidecar import FOOTER_KEY, SIDECAR_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIDECAR, TAR, MANIFEST = "images-000000.parquet", "images-000000.tar", "manifest.json"
CANARY = "canary.parquet"
"""A file in the folder ``outside``, beside the dataset; nothing may ever open or remove it."""

Document = dict[str, Any]
Random = np.random.Generator


def write_sound(folder: Path) -> Path:
    """Write three shards, with members, an error and quarantined bytes; and what is outside."""
    table = seven_faces().data
    caption = pa.array([f"face {at}" for at in range(len(table))])
    table = table.append_column("caption", caption)
    arrowimg.write_shards(
        table, folder / "out", 3, members={"txt": "caption"}, checksum="sha256", progress=False
    )
    (folder / "outside").mkdir()
    for name in (CANARY, "canary.tar", "index.sqlite"):
        (folder / "outside" / name).write_bytes(b"precious")
    return folder


class _Bytes:
    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: Any) -> int:  # noqa: ANN401  # any buffer
        self.content += bytes(data)
        return len(data)


def footer_of(sidecar: Path) -> Document:
    footer: Document = json.loads(pq.read_metadata(sidecar).metadata[FOOTER_KEY.encode()])
    return footer


def forge(sidecar: Path, table: pa.Table | None = None, footer: str | None = None) -> None:
    """Write a sidecar anew, with a sound checksum of its own."""
    document = json.dumps(footer_of(sidecar)) if footer is None else footer
    rows = pq.read_table(sidecar) if table is None else table
    file = _Bytes()
    write_parquet(file, rows, {FOOTER_KEY: document}, frozenset())
    sidecar.write_bytes(file.content)


def forge_footer(sidecar: Path, **fields: object) -> None:
    """Write a sidecar anew whose footer says something else."""
    forge(sidecar, footer=json.dumps({**footer_of(sidecar), **fields}))


def forge_stated_type(sidecar: Path, name: str, kind: pa.DataType) -> None:
    """Have a sidecar state that a column of it was written with another type of Arrow."""
    table = pq.read_table(sidecar)
    at = table.column_names.index(name)
    stated = table.schema.set(at, pa.field(name, kind)).serialize()
    file = pa.BufferOutputStream()
    with pq.ParquetWriter(file, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        document = {FOOTER_KEY: json.dumps(footer_of(sidecar))}
        schema = {"ARROW:schema": base64.b64encode(stated).decode()}
        writer.add_key_value_metadata(document | schema)
    sidecar.write_bytes(file.getvalue())


def forge_rows(sidecar: Path, count: int) -> None:
    """Have rows with an error that say all the same, and take no room: as many as one likes."""
    same = {"tar_file": footer_of(sidecar)["tar_file"], "error": "missing"}
    fields = list(pq.read_schema(sidecar))
    columns = [
        pa.repeat(same[it.name], count) if it.name in same else pa.nulls(count, it.type)
        for it in fields
    ]
    table = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    counts = {"num_rows": count, "num_images": 0, "num_errors": count}
    forge(sidecar, table, json.dumps({**footer_of(sidecar), **counts}))


def forge_packed(sidecar: Path, name: str, nbytes: int, count: int) -> None:
    """Have a column repeat one long text in many rows, which takes the room of one."""
    same = {"tar_file": footer_of(sidecar)["tar_file"], "error": "missing", name: "x" * nbytes}
    fields = list(pq.read_schema(sidecar))
    zeros = pa.repeat(pa.scalar(0, pa.int32()), count)
    columns = [
        pa.DictionaryArray.from_arrays(zeros, pa.array([same[it.name]], it.type))
        if it.name in same
        else pa.nulls(count, it.type)
        for it in fields
    ]
    table = pa.Table.from_arrays(columns, names=[it.name for it in fields])
    counts = {"num_rows": count, "num_images": 0, "num_errors": count}
    file = pa.BufferOutputStream()
    options = {"store_schema": False, "compression": "NONE", "write_statistics": False}
    with pq.ParquetWriter(file, table.schema, **options) as writer:
        writer.write_table(table)
        document = json.dumps({**footer_of(sidecar), **counts})
        writer.add_key_value_metadata({FOOTER_KEY: document})
    sidecar.write_bytes(file.getvalue())


def with_column(table: pa.Table, name: str, values: list[Any], kind: Any = None) -> pa.Table:  # noqa: ANN401
    """Return a table with other values of a column, and another type where that is said."""
    at = table.column_names.index(name)
    chosen = kind or table.schema.field(name).type
    return table.set_column(at, pa.field(name, chosen), pa.array(values, chosen))


def texts(folder: Path) -> list[object]:
    """Return texts that lead elsewhere, or mean something to those who read indexes."""
    outside = folder / "outside"
    return [
        str(outside / "canary.tar"),
        str(outside / CANARY),
        "../outside/canary.tar",
        f"../outside/{CANARY}",
        "",
        ".",
        "..",
        "a/b.tar",
        "a\0b.tar",
        "a" * 300 + ".tar",
        "pipe:touch pwned #.tar",
        "images-{000000..000002}.tar",
        "$(touch pwned).tar",
        "images-000001.tar",
        "images-000001.parquet",
        "images-000000.tar\n",
        "\u202eimages-000000.tar",
        "<script>.tar",
        "s3://bucket/images-000000.tar",
        "quarantine-images-000000.tar",
        "manifest.json",
        "xyz" * 1000,
    ]


NUMBERS: list[object] = [
    -1,
    0,
    1,
    2**31,
    2**53,
    2**62,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    1.5,
    -1e308,
]
OTHERS: list[object] = [None, True, [], {}, [[[]]], {"a": {"b": []}}, [1, "a", None]]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401
    """Return the path of every value in a document."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(it for key, item in items for it in _places(item, (*path, key)))]


def _pick(random: Random, items: list[Any]) -> Any:  # noqa: ANN401
    return items[int(random.integers(len(items)))]


def _changed(random: Random, folder: Path, document: Document) -> str:
    """Return a document with one value replaced, or nested far too deep."""
    place = _pick(random, _places(document)[1:])
    value = _pick(random, [*texts(folder), *NUMBERS, *OTHERS])
    inner: Any = document
    for key in place[:-1]:
        inner = inner[key]
    if random.random() < 0.1:
        marker = "deep-marker"
        inner[place[-1]] = marker
        depth = int(_pick(random, [100, 5_000, 200_000]))
        return json.dumps(document).replace(f'"{marker}"', "[" * depth + "]" * depth)
    if random.random() < 0.1:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return json.dumps(document)


def _forge_manifest(random: Random, folder: Path) -> None:
    path = folder / "out" / MANIFEST
    path.write_text(_changed(random, folder, json.loads(path.read_text())))


def _forge_footer(random: Random, folder: Path) -> None:
    path = folder / "out" / SIDECAR
    forge(path, footer=_changed(random, folder, footer_of(path)))
    _maybe_without_manifest(random, folder)


def _forge_rows(random: Random, folder: Path) -> None:
    path = folder / "out" / SIDECAR
    table = pq.read_table(path)
    name = _pick(random, [*SIDECAR_SCHEMA.names, "caption"])
    kind, how = table.schema.field(name).type, _pick(random, ["value", "value", "type", "gone"])
    if how == "gone":
        table = table.drop_columns([name])
    elif how == "type":
        other = _pick(random, [pa.list_(pa.string()), pa.float64(), pa.null(), pa.uint64()])
        table = with_column(table, name, [None] * len(table), other)
    else:
        values = table[name].to_pylist()
        values[int(random.integers(len(values)))] = _hostile_value(random, folder, kind)
        table = with_column(table, name, values)
    forge(path, table)
    _maybe_without_manifest(random, folder)


def _hostile_value(random: Random, folder: Path, kind: pa.DataType) -> object:
    if pa.types.is_integer(kind):
        most = 2 ** (kind.bit_width - 1)
        size = int(random.integers(200_000))
        return _pick(random, [None, -1, -size, 0, 1, size, most // 2, most - 1, -most, most - size])
    if pa.types.is_binary(kind):
        return _pick(random, [None, b"", b"a", bytes(16), bytes(32), bytes(1000)])
    return _pick(random, [None, *(it for it in texts(folder) if isinstance(it, str))])


def _forge_many_rows(random: Random, folder: Path) -> None:
    forge_rows(folder / "out" / SIDECAR, int(_pick(random, [10**5, 5 * 10**6])))
    (folder / "out" / MANIFEST).unlink()


def _forge_packed(random: Random, folder: Path) -> None:
    sidecar = folder / "out" / SIDECAR
    texts = [it.name for it in SIDECAR_SCHEMA if it.type == pa.string()]
    forge_packed(sidecar, _pick(random, texts), 2**20, 10**6)
    (folder / "out" / MANIFEST).unlink()


def _forge_bytes(random: Random, folder: Path) -> None:
    path = _file(random, folder)
    data = bytearray(path.read_bytes())
    at, nbytes = int(random.integers(len(data))), int(random.integers(1, 64))
    how = _pick(random, ["zero", "noise", "cut", "more"])
    if how == "cut":
        del data[at:]
    elif how == "more":
        data += random.bytes(nbytes)
    else:
        data[at : at + nbytes] = bytes(nbytes) if how == "zero" else random.bytes(nbytes)
    path.write_bytes(data)
    _maybe_without_manifest(random, folder)


def _forge_file(random: Random, folder: Path) -> None:
    """Put something else in the place of a file."""
    path = _file(random, folder)
    path.unlink()
    outside = folder / "outside"
    how = _pick(random, ["gone", "link", "away", "pipe", "folder", "device", "large", "empty"])
    if how == "link":
        path.symlink_to(_pick(random, [outside / CANARY, "../outside/canary.tar"]))
    elif how == "away":
        moved = outside / f"moved{path.suffix}"
        moved.write_bytes(b"precious")
        path.symlink_to(moved)
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "large":
        path.touch()
        os.truncate(path, 3 * 2**30)  # it takes no room
    elif how == "empty":
        path.touch()
    _maybe_without_manifest(random, folder)


def _forge_neighbours(random: Random, folder: Path) -> None:
    """Put files of others, or links, beside those of the dataset."""
    out, outside = folder / "out", folder / "outside"
    how = _pick(random, ["parquet", "energon", "spools", "readme", "temporary", "number"])
    if how == "energon":
        (out / ".nv-meta").symlink_to(outside, target_is_directory=True)
        (out / "images-000000.tar.idx").touch()
    elif how == "spools":
        (out / ".arrowimg-spools").symlink_to(outside, target_is_directory=True)
    elif how == "readme":
        (out / "README.md").symlink_to(outside / CANARY)
    elif how == "temporary":
        (out / f".arrowimg-{'0' * 32}.tmp").symlink_to(outside / CANARY)
    elif how == "number":
        (out / "images-000009.tar").symlink_to(outside / "canary.tar")
    else:
        pq.write_table(pa.table({"a": [1]}), out / _pick(random, ["best.parquet", "a b.parquet"]))
    _maybe_without_manifest(random, folder)


def _forge_batches(random: Random, folder: Path) -> None:
    out = folder / "out"
    (out / MANIFEST).unlink()
    for path in [*out.glob("images-00000*")]:
        name = path.name.replace("images-", "images-abc-")
        path.rename(out / name)
    for path in out.glob("*.parquet"):
        tar = path.with_suffix(".tar").name
        table = pq.read_table(path)
        footer = {**footer_of(path), "tar_file": tar, "batch_shards": _pick(random, NUMBERS)}
        forge(path, with_column(table, "tar_file", [tar] * len(table)), json.dumps(footer))


def _file(random: Random, folder: Path) -> Path:
    path: Path = _pick(random, sorted(it for it in (folder / "out").iterdir() if it.is_file()))
    return path


def _maybe_without_manifest(random: Random, folder: Path) -> None:
    path = folder / "out" / MANIFEST
    if random.random() < 0.5 and os.path.lexists(path) and not path.is_dir():
        path.unlink()


FORGERIES: dict[str, Callable[[Random, Path], None]] = {
    "manifest": _forge_manifest,
    "footer": _forge_footer,
    "rows": _forge_rows,
    "many-rows": _forge_many_rows,
    "bytes": _forge_bytes,
    "file": _forge_file,
    "neighbours": _forge_neighbours,
    "batches": _forge_batches,
    "packed": _forge_packed,
}


def forged(sound: Path, folder: Path, seed: int) -> str:
    """Make a copy of what `write_sound` wrote, forged as the seed says; returns how."""
    shutil.copytree(sound, folder, symlinks=True)
    random = np.random.Generator(np.random.PCG64(seed))
    kind = list(FORGERIES)[seed % len(FORGERIES)]
    FORGERIES[kind](random, folder)
    return kind
