"""The command line: arguments to options, results to text, errors to exit codes; no logic."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from arrowimg._cli.help import DEMO, GC, INDEX, INSPECT, MERGE, OVERVIEW, RESHARD, VERIFY, WRITE
from arrowimg._cli.text import as_json, inspection_text, report_text
from arrowimg._core.version import __version__
from arrowimg.errors import ArrowimgError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arrowimg._dataset.index.formats import IndexFormat
    from arrowimg._reshard.options import ReshardKeywords
    from arrowimg._write.file_group import FileGroupTask


class _Parser(argparse.ArgumentParser):
    """A parser whose help is written by a person, in `_cli_help`."""

    help_text = ""

    def format_help(self) -> str:
        return self.help_text

    def format_usage(self) -> str:
        return self.help_text.split("\n\n", 1)[0] + "\n"

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.format_usage()}arrowimg: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parsed = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except BrokenPipeError:
        # Whoever read stdout had enough; Python would complain when it flushes on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ArrowimgError, OSError) as error:
        print(f"arrowimg: error: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog="arrowimg", allow_abbrev=False)
    parser.help_text = OVERVIEW
    parser.add_argument("-V", "--version", action="version", version=f"arrowimg {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    write = _add_command(commands, "write", WRITE, _write)
    write.add_argument("source", metavar="SOURCE")
    _add_output_arguments(write)
    write.add_argument("--max-bytes-per-tar", type=int)
    write.add_argument("--checksum", choices=("xxh3_128", "sha256"), default="xxh3_128")
    write.add_argument("--members", type=_member, action="append", default=[])
    write.add_argument("--metadata")
    write.add_argument("--keep-image-data", action="store_true")
    write.add_argument("--image-column", default="image_data")
    write.add_argument("--on-error", choices=("raise", "quarantine"), default="raise")
    write.add_argument("--keep-quarantined", action="store_true")
    write.add_argument("--max-error-fraction", type=float)
    write.add_argument(
        "--if-exists", choices=("verify", "skip", "overwrite", "error"), default="verify"
    )
    write.add_argument("--quality", type=int, default=92)
    write.add_argument("--subsampling", choices=("4:4:4", "4:2:2", "4:2:0"), default="4:2:0")
    write.add_argument("--reencode", action="store_true")
    write.add_argument("--threads", type=int)
    write.set_defaults(refuse=write.error)

    _add_copying_commands(commands)

    inspect = _add_command(commands, "inspect", INSPECT, _inspect)
    inspect.add_argument("out", metavar="OUT")
    inspect.add_argument("--rows", type=int, default=5)
    inspect.add_argument("--json", action="store_true")

    verify = _add_command(commands, "verify", VERIFY, _verify)
    verify.add_argument("out", metavar="OUT")
    depth = verify.add_mutually_exclusive_group()
    depth.add_argument("--quick", dest="depth", action="store_const", const="quick")
    depth.add_argument("--decode", dest="depth", action="store_const", const="decode")
    verify.add_argument("--json", action="store_true")

    index = _add_command(commands, "index", INDEX, _index)
    index.add_argument("out", metavar="OUT")
    index.add_argument("--for", type=_formats, dest="formats", default=["webdataset"])
    index.add_argument("--json", action="store_true")

    gc = _add_command(commands, "gc", GC, _gc)
    gc.add_argument("out", metavar="OUT")
    gc.add_argument("--delete", action="store_true")
    gc.add_argument("--older-than", type=float, default=7)
    gc.add_argument("--json", action="store_true")

    demo = _add_command(commands, "demo", DEMO, _demo)
    _add_output_arguments(demo)
    demo.add_argument("--num-images", type=int, default=3000)
    return parser


def _add_command(
    commands: Any,  # noqa: ANN401  # argparse's type is private
    name: str,
    help_text: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser: _Parser = commands.add_parser(name, allow_abbrev=False)
    parser.help_text = help_text
    parser.set_defaults(command=command)
    return parser


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT")
    parser.add_argument("--images-per-tar", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")


def _add_copying_commands(commands: Any) -> None:  # noqa: ANN401  # argparse's type is private
    reshard = _add_command(commands, "reshard", RESHARD, _reshard)
    reshard.add_argument("source", metavar="OUT")
    _add_copy_arguments(reshard)
    reshard.add_argument("--where", metavar="SQL")
    reshard.add_argument("--metadata")
    reshard.add_argument("--shuffle-seed", type=int)

    merge = _add_command(commands, "merge", MERGE, _merge)
    merge.add_argument("sources", metavar="SOURCE", nargs="+")
    _add_copy_arguments(merge)


def _add_copy_arguments(parser: argparse.ArgumentParser) -> None:
    _add_output_arguments(parser)
    parser.add_argument("--max-bytes-per-tar", type=int, default=argparse.SUPPRESS)
    parser.add_argument("--checksum", choices=("xxh3_128", "sha256"), default=argparse.SUPPRESS)
    parser.add_argument(
        "--if-exists", choices=("verify", "skip", "overwrite", "error"), default="verify"
    )


def _member(text: str) -> tuple[str, str | list[str]]:
    extension, equals, columns = text.partition("=")
    if not (extension and equals and columns):
        message = f"expected EXTENSION=COLUMN[,COLUMN...], found {text!r}"
        raise argparse.ArgumentTypeError(message)
    names = columns.split(",")
    return extension, names if extension == "json" or len(names) > 1 else names[0]


def _formats(text: str) -> list[IndexFormat]:
    from arrowimg._dataset.index.formats import FORMATS

    formats = [known for name in text.split(",") for known in FORMATS if known == name]
    if len(formats) < len(text.split(",")):
        message = f"expected some of {','.join(FORMATS)}, found {text!r}"
        raise argparse.ArgumentTypeError(message)
    return formats


def _write(parsed: argparse.Namespace) -> int:
    from arrowimg._images.options import JpegOptions
    from arrowimg._write.sources import read_table
    from arrowimg._write.writer import write_shards

    if parsed.on_error == "raise":
        for option in ("keep_quarantined", "max_error_fraction"):
            if getattr(parsed, option) not in (False, None):
                parsed.refuse(f"--{option.replace('_', '-')} needs --on-error quarantine")
    group = write_shards(
        parsed.source,
        parsed.out,
        parsed.images_per_tar,
        None if parsed.metadata is None else read_table(parsed.metadata),
        not parsed.keep_image_data,
        progress=False if parsed.quiet else None,
        jpeg=JpegOptions(quality=parsed.quality, subsampling=parsed.subsampling),
        image_column=parsed.image_column,
        on_error=parsed.on_error,
        encode_threads=parsed.threads,
        members=dict(parsed.members),
        max_bytes_per_tar=parsed.max_bytes_per_tar,
        checksum=parsed.checksum,
        reencode=parsed.reencode,
        if_exists=parsed.if_exists,
        keep_quarantined=parsed.keep_quarantined,
        max_error_fraction=parsed.max_error_fraction,
    )
    return _print_file_group(group, in_json=parsed.json)


def _reshard(parsed: argparse.Namespace) -> int:
    from arrowimg._reshard.reshard import reshard
    from arrowimg._write.sources import read_table

    group = reshard(
        parsed.source,
        parsed.out,
        parsed.where,
        parsed.images_per_tar,
        None if parsed.metadata is None else read_table(parsed.metadata),
        shuffle_seed=parsed.shuffle_seed,
        progress=False if parsed.quiet else None,
        **_copy_options(parsed),
    )
    return _print_file_group(group, in_json=parsed.json)


def _merge(parsed: argparse.Namespace) -> int:
    from arrowimg._reshard.reshard import merge

    group = merge(
        parsed.sources,
        parsed.out,
        parsed.images_per_tar,
        progress=False if parsed.quiet else None,
        **_copy_options(parsed),
    )
    return _print_file_group(group, in_json=parsed.json)


def _copy_options(parsed: argparse.Namespace) -> ReshardKeywords:
    """Return what was said; what was not is as it was recorded."""
    options: ReshardKeywords = {"if_exists": parsed.if_exists}
    if "max_bytes_per_tar" in parsed:
        options["max_bytes_per_tar"] = parsed.max_bytes_per_tar
    if "checksum" in parsed:
        options["checksum"] = parsed.checksum
    return options


def _demo(parsed: argparse.Namespace) -> int:
    from arrowimg._cli.demo import demo_batches
    from arrowimg._write.writer import write_shards

    group = write_shards(
        demo_batches(parsed.num_images),
        parsed.out,
        parsed.images_per_tar,
        progress=False if parsed.quiet else None,
        members={"txt": "caption", "json": ["caption", "score", "captured_at"]},
    )
    return _print_file_group(group, in_json=parsed.json)


def _inspect(parsed: argparse.Namespace) -> int:
    from arrowimg._dataset.inspect import inspect_dataset

    inspection = inspect_dataset(parsed.out, parsed.rows)
    print(as_json(inspection) if parsed.json else inspection_text(inspection))
    return 0


def _verify(parsed: argparse.Namespace) -> int:
    from arrowimg._dataset.verify import verify

    report = verify(parsed.out, parsed.depth or "checksums")
    print(as_json(report) if parsed.json else report_text(report))
    return 0 if report.is_sound else 1


def _index(parsed: argparse.Namespace) -> int:
    from arrowimg._dataset.index.export import export_index

    paths = export_index(parsed.out, parsed.formats)
    print(as_json(paths) if parsed.json else "\n".join(paths))
    return 0


def _gc(parsed: argparse.Namespace) -> int:
    from arrowimg._dataset.garbage import collect_garbage

    garbage = collect_garbage(parsed.out, parsed.older_than, delete=parsed.delete)
    if parsed.json:
        print(as_json(garbage))
        return 0
    for file in garbage:
        print(f"{file.name}  {file.nbytes:,} bytes  {file.age_days:.1f} days old")
    verb = "deleted" if parsed.delete else "to delete; pass --delete"
    print(f"{len(garbage):,} files {verb}")
    return 0


def _print_file_group(group: FileGroupTask, *, in_json: bool) -> int:
    if in_json:
        print(as_json({"metadata": group.metadata, "files": group.data.to_pylist()}))
        return 0
    for row in group.data.to_pylist():
        print(f"{row['path']}  {row['num_rows']:,} rows  {row['nbytes']:,} bytes")
    counts = group.metadata
    print(
        f"{counts['num_images']:,} images in {len(group.tar_paths):,} shards, "
        f"{counts['num_errors']:,} rows with an error"
    )
    return 0
