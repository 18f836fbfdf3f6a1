"""A small dataset to damage, and ways to damage it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from photographs import SKIMAGE
from PIL import Image

from arrowimg import Report, write_shards
from arrowimg._format.sidecar import Footer, parse_footer, write_sidecar

if TYPE_CHECKING:
    from pathlib import Path

Depth = Literal["quick", "checksums", "decode"]
Places = list[tuple[str, str | None, str]]

PHOTOGRAPH = SKIMAGE / "coffee.png"
TAR, SIDECAR, QUARANTINE, MANIFEST = (
    "images-000000.tar",
    "images-000000.parquet",
    "quarantine-images-000000.tar",
    "manifest.json",
)


def write_two_shards(folder: Path) -> Path:
    """Write pictures a and b and the torn c as the first shard, d and e as the second."""
    photograph = Image.open(PHOTOGRAPH).convert("RGB")
    files = []
    for at in range(5):
        sink = io.BytesIO()
        photograph.crop((60 * at, 9 * at, 60 * at + 32, 9 * at + 24)).save(sink, "JPEG")
        files.append(sink.getvalue())
    files[2] = files[2][:200]
    table = pa.table({"image_id": list("abcde"), "image_data": files})
    write_shards(table, folder, 2, on_error="quarantine", keep_quarantined=True)
    return folder


def places(report: Report) -> Places:
    return [(damage.file, damage.member, str(damage.kind)) for damage in report.damages]


def details(report: Report) -> list[str]:
    return [damage.detail for damage in report.damages]


def change(path: Path, at: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def rewrite(folder: Path, table: pa.Table | None = None, **fields: Any) -> None:  # noqa: ANN401
    """Write another sidecar in place of the first, sound in itself, and forget the manifest."""
    path = folder / SIDECAR
    written = parse_footer(pq.read_metadata(path).metadata, SIDECAR)
    footer: Footer = msgspec.structs.replace(written, **fields)
    rows = pq.read_table(path) if table is None else table
    with pa.OSFile(str(path), "wb") as file:
        write_sidecar(file, rows, footer)
    (folder / MANIFEST).unlink(missing_ok=True)


def with_value(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    at = table.column_names.index(name)
    values = table[name].to_pylist()
    values[row] = value
    return table.set_column(at, table.schema.field(name), pa.array(values, table[name].type))
