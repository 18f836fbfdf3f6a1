"""What the command line prints: results and errors as text for people, or as JSON.

Whatever comes from files or from the user is printed on one line and without control characters: a
terminal takes some of these for commands.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from arrowimg._dataset.report import verdict_of
from arrowimg.errors import ArrowimgError, OptionError, printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from arrowimg._dataset.garbage import Garbage
    from arrowimg._dataset.inspect import Inspection
    from arrowimg._dataset.report import Damage, Report

_LISTED = 10
_MOST_LINES = 200
_VALUE_LENGTH = 80

_FLAGS = {
    "captions": "--captions",
    "checksum": "--checksum",
    "drop": "--drop",
    "encode_threads": "--threads",
    "formats": "--for",
    "if_exists": "--if-exists",
    "image_column": "--image-column",
    "images": "--image",
    "images_per_tar": "--images-per-tar",
    "keep": "--keep",
    "keep_quarantined": "--keep-quarantined",
    "max_bytes": "--max-bytes",
    "max_bytes_per_tar": "--max-bytes-per-tar",
    "max_error_fraction": "--max-error-fraction",
    "members": "--members",
    "older_than_days": "--older-than",
    "on": "--on",
    "on_error": "--on-error",
    "output_dir": "OUT",
    "page": "--output",
    "quality": "--quality",
    "rename": "--rename",
    "reserved_prefix": "--reserved-prefix",
    "sample": "--sample",
    "seed": "--seed",
    "shuffle_seed": "--shuffle-seed",
    "sort": "--sort",
    "split": "--split",
    "split_by": "--split-by",
    "subsampling": "--subsampling",
    "thumbnail": "--thumbnail",
    "where": "--where",
    "workers": "--workers",
}
"""The option of the command line for a keyword of Python's."""

_OF_DATASETS = frozenset({"drop", "formats", "rename", "sort", "where"})
"""Options whose value is right or wrong for a dataset."""

_COMMAND = re.compile(r"\barrowimg\.(verify|reshard|merge)\b")
_ELSEWHERE = re.compile(r"""arrowimg\.Adopted\(.*?, tars=('[^']*'|"[^"]*")\)""")
_SAID = re.compile(rf"\b({'|'.join(_FLAGS)})=\"?([A-Za-z0-9_.]+)\"?")


def is_wrong_usage(error: BaseException) -> bool:
    """Tell whether an error is about an option that no dataset or source would make right."""
    if not isinstance(error, OptionError):
        return False
    return error.option in _FLAGS and error.option not in _OF_DATASETS


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, singular or plural."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def error_text(error: BaseException) -> str:
    """Return what an error says, in the words of the command line."""
    if isinstance(error, OptionError):
        option = _FLAGS.get(error.option, error.option)
        return _in_own_words(f"{option}: expected {error.expected}, found {error.found!r}")
    if isinstance(error, ArrowimgError):
        return _in_own_words(str(error))
    if isinstance(error, OSError) and error.filename is not None:
        return printable(f"{error.filename}: {error.strerror}")
    return printable(str(error) or type(error).__name__)


def _in_own_words(text: str) -> str:
    """Return what Python is told to do as what the command line is told."""
    said = _SAID.sub(lambda found: f"{_FLAGS[found[1]]} {found[2]}", text)
    return printable_lines(_COMMAND.sub(r"arrowimg \1", _ELSEWHERE.sub(r"--tars \1", said)))


def report_text(report: Report) -> str:
    """Return a line for each damage and notice, bounded, and the verdict."""
    verdict = verdict_of(report)
    totals = (
        f"{counted(report.num_shards, 'shard')}, {counted(report.num_images, 'image')}, "
        f"{counted(report.num_rows, 'row')}"
    )
    notices = [f"notice: {printable(notice)}" for notice in report.notices]
    return "\n".join(
        [
            *_bounded(_damage_lines(report.damages), _MOST_LINES),
            *_bounded(notices, _MOST_LINES),
            f"{printable(report.path)}: {verdict}; {totals} ({report.depth})",
        ]
    )


def inspection_text(inspection: Inspection, plot: Sequence[str] = ()) -> str:
    """Return what a folder holds, for people; `plot` has a line for each column."""
    writer = ", ".join(f"{name} {version}" for name, version in inspection.writer.items())
    totals = (
        f"{counted(len(inspection.shards), 'shard')}, {counted(inspection.num_images, 'image')}, "
        f"{counted(inspection.nbytes, 'byte')}, "
        f"{'with a' if inspection.has_manifest else 'without'} manifest"
    )
    shards = [
        f"  {printable(shard.name)}  {shard.num_images:,}  {shard.num_rows:,}  "
        f"{shard.tar_nbytes:,}  {shard.parquet_nbytes:,}"
        for shard in inspection.shards
    ]
    columns = [f"  {printable(f'{name}: {kind}')}" for name, kind in inspection.columns.items()]
    rows = [line for row in inspection.first_rows for line in _row_lines(row)]
    return "\n".join(
        [
            printable(f"{inspection.path}: {totals}"),
            printable(f"written by {writer}"),
            *_error_lines(inspection.error_codes),
            "",
            "shards (images, rows, tar bytes, Parquet bytes):",
            *_bounded(shards, _LISTED),
            "",
            "columns:",
            *_bounded(columns, _MOST_LINES),
            "",
            *(["how they are spread:", *_bounded([*plot], _MOST_LINES), ""] if plot else []),
            "first rows:",
            *rows,
        ]
    )


def file_group_text(files: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any]) -> str:
    """Return a line for each file, and what was written and left out."""
    lines = [
        f"{printable(file['path'])}  {counted(file['num_rows'], 'row')}  "
        f"{counted(file['nbytes'], 'byte')}"
        for file in files
    ]
    shards = counted(len(files) // 2, "shard")
    errors = counted(metadata["num_errors"], "row")
    codes = f" ({_codes_text(metadata['error_codes'])})" if metadata["error_codes"] else ""
    lines.append(
        f"{counted(metadata['num_images'], 'image')} in {shards}, {errors} with an error{codes}"
    )
    if metadata.get("passed_over"):
        lines.append(f"passed over: {_codes_text(metadata['passed_over'])}")
    return "\n".join(lines)


def garbage_text(garbage: Sequence[Garbage], *, is_deleted: bool) -> str:
    """Return a line for each file that no shard needs, and how many there are."""
    lines = [
        f"{printable(file.name)}  {counted(file.nbytes, 'byte')}  {file.age_days:.1f} days old"
        for file in garbage
    ]
    verb = "deleted" if is_deleted else "to delete; pass --delete"
    return "\n".join([*lines, f"{counted(len(garbage), 'file')} {verb}"])


def closing_text(
    what: str, nbytes: int | None, seconds: float, following: Sequence[str], out: str
) -> str:
    """Return how long it took, how fast that was, and which commands may come next.

    Parameters
    ----------
    what
        A number and its noun.
    nbytes
        What was written; None where nothing was.
    following
        Names of commands.
    out
        What they are about.
    """
    number, _, noun = what.partition(" ")
    long_enough = max(seconds, 1e-9)
    rate = int(number.replace(",", "")) / long_enough
    speed = "" if nbytes is None else f", {nbytes / 1e6 / long_enough:,.1f} MB/s"
    plural = noun if noun.endswith("s") else f"{noun}s"
    commands = ", ".join(f"arrowimg {name} {shlex.quote(out)}" for name in following)
    speeds = f"{rate:,.0f} {plural}/s{speed}"
    return printable(f"{what} in {seconds:,.1f} s, {speeds}; next: {commands}")


def as_json(value: object) -> str:
    """Return a value as one JSON document, indented; bytes are hexadecimal."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(_plain(value)), indent=2).decode()
    return _escaped(text)


def _damage_lines(damages: Iterable[Damage]) -> list[str]:
    """Return a line for each damage, of each file and kind the first few."""
    lines, hidden = list[str](), dict[tuple[str, str], int]()
    shown = dict[tuple[str, str], int]()
    for damage in damages:
        place = (damage.file, damage.kind)
        shown[place] = shown.get(place, 0) + 1
        if shown[place] <= _LISTED:
            lines.append(printable(_ELSEWHERE.sub(r"--tars \1", str(damage))))
        else:
            hidden[place] = hidden.get(place, 0) + 1
    more = [
        f"{printable(file)}: {printable(kind)}: and {number:,} more"
        for (file, kind), number in hidden.items()
    ]
    return lines + more


def _row_lines(row: Mapping[str, Any]) -> list[str]:
    """Return a row, one field a line, those that are null left out."""
    fields = [f"{name}: {_short(value)}" for name, value in row.items() if value is not None]
    marks = ["-", *" " * (len(fields) - 1)]
    return [
        f"  {mark} {printable(field)}"
        for mark, field in zip(marks, _bounded(fields, _MOST_LINES), strict=False)
    ]


def _error_lines(codes: Mapping[str, int]) -> list[str]:
    if not codes:
        return []
    return [f"{counted(sum(codes.values()), 'row')} with an error: {_codes_text(codes)}"]


def _codes_text(codes: Mapping[str, int]) -> str:
    """Return what was counted, the most frequent first, bounded."""
    ordered = sorted(codes.items(), key=lambda item: (-item[1], item[0]))
    shown = [printable(f"{code[:_VALUE_LENGTH]} {count:,}") for code, count in ordered[:_LISTED]]
    hidden = sum(count for _, count in ordered[_LISTED:])
    return ", ".join([*shown, *([f"others {hidden:,}"] if hidden else [])])


def _bounded(lines: list[str], most: int) -> list[str]:
    hidden = len(lines) - most
    return [*lines[:most], *([f"  and {hidden:,} more"] if hidden > 0 else [])]


def _short(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 3]}..."


def _plain(value: Any) -> Any:  # noqa: ANN401  # of any kind that columns hold
    """Return a value as JSON's types; what is no UTF-8 in a text is escaped."""
    if hasattr(value, "__struct_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return value if isinstance(value, bool | int | float | None) else str(value)


def _escaped(text: str) -> str:
    """Return JSON in which control characters, and marks that turn text, are escapes."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(
        character if character == "\n" or character.isprintable() else _unit_escapes(character)
        for character in text
    )


def _unit_escapes(character: str) -> str:
    units = character.encode("utf-16-be")
    pairs = [units[at : at + 2].hex() for at in range(0, len(units), 2)]
    return "".join(f"\\u{pair}" for pair in pairs)
