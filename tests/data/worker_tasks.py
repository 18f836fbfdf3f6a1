"""What workers of the tests do; a module, so that they can import it."""

from __future__ import annotations

import logging
import os
import signal
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
