"""The command that adopts tars: what it says of itself, its arguments, its call, its result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from arrowimg._cli.commands import say_closing, storage_options_of
from arrowimg._cli.text import as_json, counted
from arrowimg.errors import printable

if TYPE_CHECKING:
    import argparse

    from arrowimg._dataset.adopt.report import Adoption

ADOPT = """\
usage: arrowimg adopt TARS... [options]

Give sidecars and a manifest to tars that others wrote, so that all other commands work
on them. Each tar is read once, and none is changed.

arguments:
  TARS                   tars or URLs of tars, ranges like 'a-{000..099}.tar',
                         patterns like 'tars/*.tar', or folders

options:
  --out OUT              folder or URL of sidecars and manifest; say to the other
                         commands where the tars are [beside the tars]
  --members EXTENSIONS   whose members become columns, separated by commas
                         [json,txt,cls]
  --ids RULE             key: ids are the keys of the samples; path: with the path of
                         the tar before them [key]
  --clashes RULE         a column whose values have no type in common: raise; text: it
                         becomes text [raise]
  --checksum NAME        how tars and images are hashed: xxh3_128, sha256 [xxh3_128]
  --if-exists POLICY     what to do with sidecars that are there: skip, overwrite,
                         error [skip]
  --storage-option K=V   what an object store is told, for example
                         region=eu-central-1; may be given several times
  --json                 print what was found as one JSON document
  -q, --quiet            no progress and no closing line on stderr
  -h, --help             show this help and exit

exit status:
  0    adopted, whatever is said of single samples
  1    a tar or the storage failed; there is no manifest, and the same command goes on
  2    wrong usage
  130  interrupted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("sources", metavar="TARS", nargs="+")
    parser.add_argument("--out")
    parser.add_argument("--members", type=lambda text: text.split(","))
    parser.add_argument("--ids", choices=("key", "path"), default="key")
    parser.add_argument("--clashes", choices=("raise", "text"), default="raise")
    parser.add_argument("--checksum", choices=("xxh3_128", "sha256"), default="xxh3_128")
    parser.add_argument("--if-exists", choices=("skip", "overwrite", "error"), default="skip")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")


def adopt(parsed: argparse.Namespace) -> int:
    """Adopt tars."""
    import logging

    from arrowimg._dataset.adopt.adopt import adopt as adopt_tars

    # What is not as it should be is in the closing lines.
    logging.getLogger("arrowimg.adopt").setLevel(logging.ERROR)
    started = time.perf_counter()
    adoption = adopt_tars(
        parsed.sources,
        parsed.out,
        members=parsed.members,
        ids=parsed.ids,
        clashes=parsed.clashes,
        checksum=parsed.checksum,
        if_exists=parsed.if_exists,
        progress=False if parsed.quiet else None,
        storage_options=storage_options_of(parsed),
    )
    print(as_json(adoption) if parsed.json else _adoption_text(adoption))
    parsed.out = adoption.path
    what = counted(adoption.num_images, "image")
    say_closing(parsed, what, adoption.nbytes, started, "inspect", "view", "verify")
    return 0


def _adoption_text(adoption: Adoption) -> str:
    tars = counted(adoption.num_tars, "tar")
    num_errors = adoption.num_rows - adoption.num_images
    codes = ", ".join(f"{count:,} {code}" for code, count in adoption.error_codes.items())
    lines = [f"{printable(notice)}: {count:,}" for notice, count in adoption.notices.items()]
    lines.append(
        f"{counted(adoption.num_images, 'image')} in {tars}, "
        f"{counted(num_errors, 'row')} with an error{f' ({codes})' if codes else ''}"
    )
    if adoption.num_unchanged:
        lines.append(f"{adoption.num_unchanged:,} of the tars were adopted before")
    return "\n".join(lines)
