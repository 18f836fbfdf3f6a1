"""Where every member of a tar stands, known from its sidecar alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from msgspec import Struct

from arrowimg._binary_columns import value_offsets
from arrowimg._members import columns_of, extra_members
from arrowimg._sidecar import Footer, read_footer
from arrowimg._tar import BLOCK, tar_nbytes
from arrowimg.errors import ManifestError

if TYPE_CHECKING:
    from arrowimg._storage import Storage

_COLUMNS = ("image_id", "member_name", "offset", "size", "width", "height", "channels")


class Layout(Struct, frozen=True):
    """The members of one tar.

    Attributes
    ----------
    footer
        The sidecar's footer document.
    keys
        Of the samples that have a picture, in the order of the tar.
    extensions
        Of the members of each sample, in the order of the tar.
    offsets, sizes
        (N, E) int64: where the data of each member begins in the tar, and its bytes.
    rows
        Columns image_id, width, height and channels of the same samples.
    """

    footer: Footer
    keys: list[str]
    extensions: list[str]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    rows: pa.Table

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where the first header of each sample begins, and last where the end of the tar does.

        (N + 1,) int64.
        """
        ends = self.offsets[:, -1:] + tar_nbytes(self.sizes[:, -1:]) - BLOCK
        return np.concatenate([[0], ends.reshape(-1)])


def read_layout(storage: Storage, sidecar: str) -> Layout:
    """Return the layout of a committed shard. The tar is not opened.

    Raises
    ------
    ManifestError
        When the sidecar cannot be read, or its columns contradict one another.
    """
    path = storage.path_of(sidecar)
    with storage.open(sidecar) as file:
        footer = read_footer(file, path)
        members: dict[str, Any] = footer.options.get("members", {})
        rows = pq.read_table(file, columns=[*_COLUMNS, *columns_of(members)])
    rows = rows.filter(pc.is_valid(rows["member_name"]))
    data = extra_members(rows, members)
    sizes = {name: np.diff(value_offsets(data[name].chunk(0))) for name in data.column_names}
    sizes["jpg"] = rows["size"].to_numpy()
    extensions = sorted(sizes)
    table = np.stack([sizes[extension] for extension in extensions], axis=1)
    ends = np.cumsum(tar_nbytes(table)).reshape(table.shape)
    offsets = ends - tar_nbytes(table) + BLOCK
    if offsets[:, extensions.index("jpg")].tolist() != rows["offset"].to_pylist():
        raise ManifestError(path, "offsets that follow from the sizes", "others")
    keys = [name.removesuffix(".jpg") for name in rows["member_name"].to_pylist()]
    return Layout(footer, keys, extensions, offsets, table, rows)
