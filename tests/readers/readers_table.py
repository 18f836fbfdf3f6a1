"""Print what came of every reader and kind of id, and fail where it is not as the docs say.

``python tests/readers/readers_table.py PAGE FOLDER``: below tox's folder stands what
`reader_data.compare` wrote down in each environment.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "data"))

from reader_data import KINDS


def table_of(outcomes: dict[str, dict[str, str]]) -> str:
    """Return a Markdown table: one row for each reader, one column for each kind of id."""
    head = ["reader", *KINDS]
    rows = [
        [reader, *(kinds.get(kind, "missing") for kind in KINDS)]
        for reader, kinds in sorted(outcomes.items(), key=lambda item: item[0].lower())
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(page: str, folder: str) -> str | None:
    """Print the table, and return what is wrong with it."""
    records = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in Path(folder).glob("readers-*/tmp/*.json")
    ]
    outcomes = {record["reader"]: record["kinds"] for record in records}
    table = table_of(outcomes)
    sys.stdout.write(table)
    if not outcomes:
        return f"no reader has left an outcome below {folder}"
    if any(set(kinds.values()) != {"equal"} for kinds in outcomes.values()):
        return "not every reader returns what was written"
    # With the blank line after it, for a table that goes on is another.
    if f"{table}\n" not in Path(page).read_text(encoding="utf-8") + "\n":
        return f"the table in {page} is another: put this one in its place"
    return None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
