"""Arguments to values: what each command takes, and close names for what it does not."""

from __future__ import annotations

import argparse
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from arrowimg._cli import adopt, commands, values
from arrowimg._cli.help import (
    DEMO,
    GC,
    INDEX,
    INSPECT,
    MERGE,
    OVERVIEW,
    RESHARD,
    VERIFY,
    VIEW,
    WRITE,
)
from arrowimg._core.version import __version__
from arrowimg.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class _Parser(argparse.ArgumentParser):
    """A parser whose help is written by a person, in `arrowimg._cli.help`."""

    help_text = ""

    def format_help(self) -> str:
        return self.help_text

    def format_usage(self) -> str:
        return self.help_text.split("\n\n", 1)[0] + "\n"

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.format_usage()}arrowimg: error: {printable(message)}\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was said, its command among it; wrong usage ends in exit status 2."""
    parser = build_parser()
    names = _commands_of(parser)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and not words[0].startswith("-") and words[0] not in names:
        parser.error(f"there is no command {words[0]!r}{_meant(words[0], names)}")
    parsed, unknown = parser.parse_known_args(words)
    if unknown:
        used: _Parser = parsed.parser
        options = [option for action in used._actions for option in action.option_strings]
        name = unknown[0].partition("=")[0]
        used.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(name, options)}")
    _check_effects(parsed)
    return parsed


def _check_effects(parsed: argparse.Namespace) -> None:
    """Refuse an option that has no effect without another, or on none of the sources."""
    for source, place in getattr(parsed, "tars_of", ()):
        if source not in parsed.sources:
            merge: _Parser = parsed.parser
            merge.error(f"--tars {source}={place}: {source!r} is no SOURCE")
    if getattr(parsed, "on_error", None) != "raise":
        return
    for option in ("keep_quarantined", "max_error_fraction"):
        if getattr(parsed, option) not in {False, None}:
            used: _Parser = parsed.parser
            used.error(f"--{option.replace('_', '-')} needs --on-error quarantine")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog="arrowimg", allow_abbrev=False)
    parser.help_text = OVERVIEW
    parser.add_argument("-V", "--version", action="version", version=f"arrowimg {__version__}")
    of_commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_writing_commands(of_commands)
    _add_copying_commands(of_commands)
    _add_looking_commands(of_commands)
    return parser


def _commands_of(parser: argparse.ArgumentParser) -> list[str]:
    (commands_action,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return list(commands_action.choices)


def _add_writing_commands(of_commands: Any) -> None:  # noqa: ANN401  # argparse's type is private
    write = _add_command(of_commands, "write", WRITE, commands.write)
    write.add_argument("sources", metavar="SOURCE", nargs="+")
    _add_output_arguments(write)
    write.add_argument("--max-bytes-per-tar", type=values.whole)
    write.add_argument("--checksum", choices=("xxh3_128", "sha256"), default="xxh3_128")
    write.add_argument("--members", type=values.member, action="append", default=[])
    write.add_argument("--metadata")
    write.add_argument("--on", type=values.on)
    write.add_argument("--captions", metavar="SUFFIX")
    write.add_argument("--labels", choices=("folder",))
    write.add_argument("--rename", type=values.renamed, action="append", default=[])
    write.add_argument("--drop", type=values.listed, action="extend", default=[])
    write.add_argument("--reserved-prefix")
    write.add_argument("--split", type=values.fractions, action="extend", default=[])
    write.add_argument("--split-by")
    write.add_argument("--keep-image-data", action="store_true")
    write.add_argument("--image-column", default="image_data")
    write.add_argument("--image", type=values.image, action="append", default=[])
    write.add_argument("--keep", type=values.listed, action="extend", default=[])
    write.add_argument("--on-error", choices=("raise", "quarantine"), default="raise")
    write.add_argument("--keep-quarantined", action="store_true")
    write.add_argument("--max-error-fraction", type=float)
    write.add_argument(
        "--if-exists", choices=("verify", "skip", "overwrite", "error"), default="verify"
    )
    write.add_argument("--quality", type=values.whole, default=92)
    write.add_argument("--subsampling", choices=("4:4:4", "4:2:2", "4:2:0"), default="4:2:0")
    write.add_argument("--reencode", action="store_true")
    write.add_argument("--threads", type=values.whole)
    write.add_argument("--workers", type=values.at_least(1))

    adopt.add_arguments(_add_command(of_commands, "adopt", adopt.ADOPT, adopt.adopt))

    demo = _add_command(of_commands, "demo", DEMO, commands.demo)
    _add_output_arguments(demo)
    demo.add_argument("--num-images", type=values.at_least(1), default=3000)


def _add_copying_commands(of_commands: Any) -> None:  # noqa: ANN401  # argparse's type is private
    reshard = _add_command(of_commands, "reshard", RESHARD, commands.reshard)
    reshard.add_argument("source", metavar="OUT")
    _add_copy_arguments(reshard)
    reshard.add_argument("--tars")
    reshard.add_argument("--where", metavar="SQL")
    reshard.add_argument("--metadata")
    reshard.add_argument("--on", type=values.on)
    reshard.add_argument("--split", type=values.fractions, action="extend", default=[])
    reshard.add_argument("--split-by")
    reshard.add_argument("--shuffle-seed", type=values.whole)
    reshard.add_argument("--workers", type=values.at_least(1))

    merge = _add_command(of_commands, "merge", MERGE, commands.merge)
    merge.add_argument("sources", metavar="SOURCE", nargs="+")
    _add_copy_arguments(merge)
    merge.add_argument("--tars", type=values.tars_of, action="append", default=[], dest="tars_of")
    merge.add_argument("--workers", type=values.at_least(1))


def _add_looking_commands(of_commands: Any) -> None:  # noqa: ANN401  # argparse's type is private
    inspect = _add_command(of_commands, "inspect", INSPECT, commands.inspect)
    inspect.add_argument("out", metavar="OUT")
    inspect.add_argument("--tars")
    inspect.add_argument("--rows", type=values.at_least(0), default=5)
    inspect.add_argument("--plot", action=argparse.BooleanOptionalAction)
    inspect.add_argument("--json", action="store_true")

    _add_view_arguments(_add_command(of_commands, "view", VIEW, commands.view))

    verify = _add_command(of_commands, "verify", VERIFY, commands.verify)
    verify.add_argument("out", metavar="OUT")
    verify.add_argument("--tars")
    depth = verify.add_mutually_exclusive_group()
    depth.add_argument("--quick", dest="depth", action="store_const", const="quick")
    depth.add_argument("--decode", dest="depth", action="store_const", const="decode")
    verify.add_argument("--json", action="store_true")
    verify.add_argument("-q", "--quiet", action="store_true")

    index = _add_command(of_commands, "index", INDEX, commands.index)
    index.add_argument("out", metavar="OUT")
    index.add_argument("--tars")
    index.add_argument("--for", type=values.formats, dest="formats", default=["webdataset"])
    index.add_argument("--json", action="store_true")

    gc = _add_command(of_commands, "gc", GC, commands.gc)
    gc.add_argument("out", metavar="OUT")
    gc.add_argument("--delete", action="store_true")
    gc.add_argument("--older-than", type=values.days, default=7)
    gc.add_argument("--json", action="store_true")


def _add_view_arguments(view: argparse.ArgumentParser) -> None:
    view.add_argument("out", metavar="OUT")
    view.add_argument("--tars")
    view.add_argument("-o", "--output")
    view.add_argument("--where", metavar="SQL")
    view.add_argument("--sort")
    view.add_argument("--sample", type=values.whole, default=200)
    view.add_argument("--seed", type=values.whole, default=0)
    view.add_argument("--thumbnail", type=values.whole, default=160)
    view.add_argument("--max-bytes", type=values.whole, default=8_000_000)
    view.add_argument("--against", metavar="B")
    view.add_argument("--open", action="store_true")
    view.add_argument("-q", "--quiet", action="store_true")


def _add_command(
    of_commands: Any,  # noqa: ANN401  # argparse's type is private
    name: str,
    help_text: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser: _Parser = of_commands.add_parser(name, allow_abbrev=False)
    parser.help_text = help_text
    parser.set_defaults(command=command, parser=parser)
    parser.add_argument(
        "--storage-option",
        type=values.storage_option,
        action="append",
        default=[],
        dest="storage_options",
        metavar="KEY=VALUE",
    )
    return parser


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT")
    parser.add_argument("--images-per-tar", type=values.at_least(1), default=1000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")


def _add_copy_arguments(parser: argparse.ArgumentParser) -> None:
    _add_output_arguments(parser)
    parser.add_argument("--max-bytes-per-tar", type=values.whole, default=argparse.SUPPRESS)
    parser.add_argument("--checksum", choices=("xxh3_128", "sha256"), default=argparse.SUPPRESS)
    parser.add_argument(
        "--if-exists", choices=("verify", "skip", "overwrite", "error"), default="verify"
    )


def _meant(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, list(names), 1)
    return f"; did you mean {close[0]}?" if close else ""
