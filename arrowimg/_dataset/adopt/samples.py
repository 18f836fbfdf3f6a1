"""The samples of members: which member is the picture of each, and which has an extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from arrowimg._dataset.adopt.options import PICTURES
from arrowimg._format.adopted.samples import sample_numbers

if TYPE_CHECKING:
    Numbers = npt.NDArray[np.int64]


def is_picture(extension: str) -> bool:
    """Tell whether members of an extension are pictures."""
    return extension.rpartition(".")[2] in PICTURES


class Samples:
    """The samples of members; all arrays count members from 0, and -1 is none.

    Parameters
    ----------
    keys, extensions
        (M,) of members that make samples, in order, without nulls.
    """

    def __init__(self, keys: pa.StringArray, extensions: pa.StringArray) -> None:
        self._extensions, self._numbers = extensions, sample_numbers(keys)

    def __len__(self) -> int:
        return int(self._numbers[-1]) + 1 if len(self._numbers) else 0

    @property
    def firsts(self) -> Numbers:
        """The first member of each sample: (N,)."""
        return np.unique(self._numbers, return_index=True)[1]

    def pictures(self, is_one: npt.NDArray[np.bool_]) -> Numbers:
        """Return the picture of each sample: the first, but better one of an undotted extension.

        Parameters
        ----------
        is_one
            (M,) which members are pictures.
        """
        is_dotted = pc.match_substring(self._extensions, ".").to_numpy(zero_copy_only=False)
        at = np.flatnonzero(is_one)
        order = np.lexsort((at, is_dotted[at].astype(np.int8), self._numbers[at]))
        return self._first_of_each(at[order])

    def of_extension(self, extension: str) -> Numbers:
        """Return the first member of an extension in each sample: (N,)."""
        return self._first_of_each(self.all_of(extension))

    def all_of(self, extension: str) -> Numbers:
        """Return all members of an extension."""
        found = pc.equal(self._extensions, extension).to_numpy(zero_copy_only=False)
        return np.flatnonzero(found)

    def _first_of_each(self, at: Numbers) -> Numbers:
        chosen = np.full(len(self), -1, np.int64)
        samples, firsts = np.unique(self._numbers[at], return_index=True)
        chosen[samples] = at[firsts]
        return chosen
