"""Points on a write's way at which tests have the process killed, as by SIGKILL: what was done so far is all that is left of it.

    CROSSGRAPH_FAIL_POINT=commit.after      the first time that this point is reached; commit.after:2 the second time

Nobody else sets the variable. Without it a point costs a comparison.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from gateway.errors import ConfigError

VARIABLE = "CROSSGRAPH_FAIL_POINT"

OF_WRITES = (  # of a mutation's transaction (``transaction.py``), in their order
    "begin.before",
    "begin.after",
    "version.before",
    "version.after",
    "row.before",
    "row.after",
    "log.before",  # the rows of the log, with the outcome of the idempotency key, in one call
    "log.after",
    "commit.before",
    "commit.after",
)
OF_RELAYS = (
    "claim.before",
    "claim.after",
    "states.after",
    "apply.before",
    "advance.after",  # the target's gate has let the version pass, in a transaction of the target's store
    "rows.after",  # and the rows are written there
    "apply.after",
    "mark.after",  # the deliveries are gone
    "position.before",
    "position.after",
)
OF_FOLLOW_UPS = ("follow.before", "follow.after")
POINTS = (*OF_WRITES, *OF_RELAYS, *OF_FOLLOW_UPS)

_armed: str | None = None
_left = 0


def arm(environment: Mapping[str, str], *, is_production: bool) -> None:
    """Have this process killed at the point that the environment names. ConfigError where there is none of that name, or in production."""
    global _armed, _left
    told = environment.get(VARIABLE, "")
    if not told:
        return
    if is_production:
        raise ConfigError(f"{VARIABLE}: expected none in production, as it has the process killed; got {told!r}")
    name, _, times = told.partition(":")
    if name not in POINTS or not (times or "1").isdigit() or int(times or "1") < 1:
        raise ConfigError(f"{VARIABLE}: expected one of {', '.join(POINTS)}, with :2 for the second time; got {told!r}")
    _armed, _left = name, int(times or "1")


def reached(point: str) -> None:
    """Say that a point is reached."""
    if _armed is None or point != _armed:
        return
    global _left
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
