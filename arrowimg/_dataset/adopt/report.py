"""What adopting tars came to."""

from __future__ import annotations

from msgspec import Struct


class Adoption(Struct, frozen=True):
    """Tars that were adopted.

    Attributes
    ----------
    path
        Folder of the sidecars and the manifest.
    tars
        The folder that the tars are in, or below.
    num_tars, num_rows, num_images, nbytes
        Tars, samples, those that have a picture, and bytes of all tars.
    num_unchanged
        Tars whose sidecars were there before.
    error_codes
        Number of samples without a picture, by what is wrong.
    notices
        What is not as it should be and yet stopped nobody: how often, by what it is. Of tars that
        were read now.
    """

    path: str
    tars: str
    num_tars: int
    num_rows: int
    num_images: int
    nbytes: int
    num_unchanged: int
    error_codes: dict[str, int]
    notices: dict[str, int]
