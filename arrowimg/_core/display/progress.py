"""Progress bars: on a terminal, and as text in a notebook."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def progress_bar(total: int | None, unit: str, progress: bool | None) -> Any:  # noqa: ANN401, FBT001  # tqdm has no types; as the caller has it
    """Return a bar of tqdm, to be used as a context manager.

    It is text in a notebook, too: that needs no widgets, warns of none, and stays in what is saved.

    Parameters
    ----------
    total
        How much there is to do; None where nobody knows.
    unit
        What is counted; ``"B"`` gets prefixes.
    progress
        True: a bar on stderr. None: only where stderr is a terminal, or a notebook.
    """
    from tqdm import tqdm  # noqa: PLC0415  # only here is a bar drawn

    in_notebook = is_notebook()
    disable = (None if not in_notebook else False) if progress is None else not progress
    ncols = 80 if in_notebook else None
    return tqdm(total=total, unit=unit, unit_scale=unit == "B", disable=disable, ncols=ncols)


def is_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    get_shell: Callable[[], object] | None = shell if callable(shell) else None
    return get_shell is not None and hasattr(get_shell(), "kernel")
