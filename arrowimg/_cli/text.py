"""What the command line prints: results as text for people, or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arrowimg._dataset.inspect import Inspection
    from arrowimg._dataset.report import Report

_SHARDS_LISTED = 10


def report_text(report: Report) -> str:
    """Return a line for each damage and notice, and the verdict."""
    verdict = "sound" if report.is_sound else f"{len(report.damages):,} damages"
    totals = f"{report.num_shards:,} shards, {report.num_images:,} images, {report.num_rows:,} rows"
    return "\n".join(
        [
            *(str(damage) for damage in report.damages),
            *(f"notice: {notice}" for notice in report.notices),
            f"{report.path}: {verdict}; {totals} ({report.depth})",
        ]
    )


def inspection_text(inspection: Inspection) -> str:
    """Return what a folder holds, for people."""
    writer = ", ".join(f"{name} {version}" for name, version in inspection.writer.items())
    hidden = len(inspection.shards) - _SHARDS_LISTED
    totals = (
        f"{len(inspection.shards):,} shards, {inspection.num_images:,} images, "
        f"{inspection.nbytes:,} bytes, "
        f"{'with a' if inspection.has_manifest else 'without'} manifest"
    )
    return "\n".join(
        [
            f"{inspection.path}: {totals}",
            f"written by {writer}",
            "",
            "shards (images, rows, tar bytes, Parquet bytes):",
            *(
                f"  {shard.name}  {shard.num_images:,}  {shard.num_rows:,}  "
                f"{shard.tar_nbytes:,}  {shard.parquet_nbytes:,}"
                for shard in inspection.shards[:_SHARDS_LISTED]
            ),
            *([f"  and {hidden:,} more"] if hidden > 0 else []),
            "",
            "columns:",
            *(f"  {name}: {kind}" for name, kind in inspection.columns.items()),
            "",
            "first rows:",
            *(f"  {_row_text(row)}" for row in inspection.first_rows),
        ]
    )


def _row_text(row: dict[str, Any]) -> str:
    shown = (f"{name}={_short(value)}" for name, value in row.items() if value is not None)
    return "  ".join(shown)


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def as_json(value: object) -> str:
    """Return a value as one JSON document, indented."""
    import msgspec  # noqa: PLC0415  # not for --help

    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
