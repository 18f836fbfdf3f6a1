"""Which columns of a source are written, and under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from arrowimg._core.option_checks import check_option
from arrowimg._format.sidecar import RESERVED, TAR_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

_ID = "image_id"


class ChosenColumns(Struct, frozen=True):
    """Which columns are written, and under which names.

    Attributes
    ----------
    rename
        New names by old ones.
    drop
        Columns that are left out, by the names that they have then.
    reserved_prefix
        What is put before names that the sidecar uses itself. None: these are an error.

    Raises
    ------
    OptionError
        When one is of another type, or two columns would get one name.
    """

    rename: Mapping[str, str] = {}
    drop: Sequence[str] = ()
    reserved_prefix: str | None = None

    def __post_init__(self) -> None:
        names = self.rename.items() if isinstance(self.rename, Mapping) else [(None, None)]
        are_texts = all(isinstance(it, str) and it for pair in names for it in pair)
        check_option(are_texts, "rename", "a mapping of new names by old ones", self.rename)
        news = list(self.rename.values())
        check_option(len({*news}) == len(news), "rename", "each new name once", self.rename)
        is_list = isinstance(self.drop, Sequence) and not isinstance(self.drop, str)
        are_names = is_list and all(isinstance(it, str) for it in self.drop)
        check_option(are_names, "drop", "a list of column names", self.drop)
        prefix = self.reserved_prefix
        is_prefix = prefix is None or (isinstance(prefix, str) and prefix)
        check_option(is_prefix, "reserved_prefix", "a text, or None", prefix)

    def new_names(self, names: Iterable[str]) -> list[str]:
        """Return the names that columns of these names have."""
        return [self.rename.get(name, name) for name in names]

    def renamed(self, table: pa.Table) -> pa.Table:
        """Return the table with the new names; nothing is copied."""
        return table.rename_columns(self.new_names(table.column_names)) if self.rename else table

    def chosen(self, table: pa.Table, image_column: str, keep: str | None = None) -> pa.Table:
        """Return those columns of a renamed table that are written; nothing is copied.

        Parameters
        ----------
        image_column
            Name of the column of images.
        keep
            A column that is still needed, whatever becomes of it later.
        """
        dropped = {*self.drop} - {keep}
        kept = [name for name in table.column_names if name not in dropped]
        table = table.select(kept) if len(kept) < table.num_columns else table
        if self.reserved_prefix is None:
            return table
        taken = {*RESERVED, TAR_PATH} - {_ID, image_column, keep}
        prefix = self.reserved_prefix
        return table.rename_columns([f"{prefix}{it}" if it in taken else it for it in kept])

    def check_present(self, names: Iterable[str], of_metadata: Iterable[str] = ()) -> None:
        """Raise `OptionError` when a column that is renamed or dropped is not there.

        Parameters
        ----------
        names
            Of the source, before they are renamed.
        of_metadata
            Of its metadata, after that.
        """
        before = list(names)
        after = [*self.new_names(before), *of_metadata]
        for old, new in self.rename.items():
            is_there = old in before or new in of_metadata
            check_option(is_there, "rename", _listed([*before, *of_metadata]), old)
        for name in self.drop:
            check_option(name in after, "drop", _listed(after), name)


def _listed(names: Iterable[str]) -> str:
    return f"columns of the source: {', '.join(map(repr, dict.fromkeys(names)))}"
