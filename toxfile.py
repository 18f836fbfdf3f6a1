"""What tox cannot say in tox.ini: a run in which every test environment was skipped has failed.

A missing interpreter skips its environment, and tox calls the run good as long as any environment
ran, the linter's for one. So the environments that run tests are counted here, and the last one,
``tests-ran``, fails when there were none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tox.plugin import impl
from tox.tox_env.errors import Fail

if TYPE_CHECKING:
    from tox.execute import Outcome
    from tox.tox_env.api import ToxEnv

_ran: list[str] = []


@impl
def tox_after_run_commands(tox_env: ToxEnv, exit_code: int, outcomes: list[Outcome]) -> None:
    """Count an environment that ran tests; whether they passed is its own affair."""
    del exit_code
    name = tox_env.conf.name
    if outcomes and (name == "lowest" or name.endswith("-tests")):
        _ran.append(name)


@impl
def tox_before_run_commands(tox_env: ToxEnv) -> None:
    """Fail ``tests-ran`` when nothing was counted before it."""
    if tox_env.conf.name == "tests-ran" and not _ran:
        msg = "no tests ran: each environment that runs them lacks its interpreter"
        raise Fail(msg)
