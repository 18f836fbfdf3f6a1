"""What workers of the tests do; a module, so that they can import it."""

from __future__ import annotations

import logging
import os
import signal
from threading import Event
from typing import TYPE_CHECKING

from msgspec import Struct

from arrowimg._core.processes.shared_file import Region
from arrowimg.errors import OptionError

if TYPE_CHECKING:
    from arrowimg._core.processes.pool import Desk


class Add(Struct, frozen=True):
    """Add a number to that of the context."""

    number: int

    def run(self, desk: Desk) -> int:
        logging.getLogger("arrowimg.tests").warning("adding %d", self.number)
        logging.getLogger("arrowimg.tests").debug("nobody asked")
        return int(desk.context) + self.number


class Twice(Struct, frozen=True):
    """Put a table beside itself."""

    region: Region

    def run(self, desk: Desk) -> Region:
        (table,) = desk.get(self.region)
        return desk.put(table.schema, [table, table])


class Rows(Struct, frozen=True):
    """Return the rows of tables as Python has them."""

    region: Region

    def run(self, desk: Desk) -> list[dict[str, object]]:
        return [row for table in desk.get(self.region) for row in table.to_pylist()]


class Read(Struct, frozen=True):
    """Read a byte, wait for it if need be, and tell which process has done so."""

    path: str

    def run(self, desk: Desk) -> int:
        del desk
        with open(self.path, "rb", buffering=0) as file:  # noqa: PTH123  # a pipe
            file.read(1)
        return os.getpid()


class Wait(Struct, frozen=True):
    """Do nothing for longer than anybody waits."""

    def run(self, desk: Desk) -> None:
        del desk
        Event().wait(60)


class Fail(Struct, frozen=True):
    """Raise an error: one of ours, or any."""

    is_ours: bool

    def run(self, desk: Desk) -> None:
        del desk
        if self.is_ours:
            option, expected = "number", "another"
            raise OptionError(option, expected, 7)
        message = "unforeseen"
        raise ZeroDivisionError(message)


class Die(Struct, frozen=True):
    """Be killed."""

    def run(self, desk: Desk) -> None:
        del desk
        os.kill(os.getpid(), signal.SIGKILL)


class Unknown(Struct, frozen=True):
    """What cannot be read where it arrives."""

    def __reduce__(self) -> tuple[object, ...]:
        return (__import__, ("no_module_of_this_name",))

    def run(self, desk: Desk) -> None:
        del desk
