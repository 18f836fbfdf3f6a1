"""No flipped bit of a sidecar's footer ends the process that reads it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from hostile_data import SIDECAR, write_sound

if TYPE_CHECKING:
    from pathlib import Path

READ_ALL = """
import sys
from pathlib import Path
import arrowimg
from arrowimg._dataset.sidecars import read_footer_if_ours
from arrowimg._storage.open import open_storage

path = Path(sys.argv[1])
data = path.read_bytes()
footer_nbytes = int.from_bytes(data[-8:-4], "little")
storage = open_storage(path.parent)
for at in range(len(data) - 8 - footer_nbytes, len(data)):
    flipped = bytearray(data)
    flipped[at] ^= 1
    path.write_bytes(flipped)
    try:
        read_footer_if_ours(storage, path.name)
    except arrowimg.errors.ArrowimgError:
        pass
    if at % 16 == 0:
        arrowimg.verify(path.parent)
print(footer_nbytes)
"""


def test_no_flipped_bit_of_a_footer_ends_the_process(tmp_path: Path) -> None:
    sidecar = write_sound(tmp_path) / "out" / SIDECAR

    command = [sys.executable, "-W", "ignore", "-c", READ_ALL, str(sidecar)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr[-2000:]
    assert int(ended.stdout) > 2000
