"""How much a test does that could go on for hours: little in `make test`, more in CI, and as much as a variable says.

CI is where REQUIRE_LIVE or CI is set. `docs/testing.md` has the commands that set the variables.
"""

from __future__ import annotations

import os


def is_set(variable: str) -> bool:
    return os.environ.get(variable, "") not in ("", "0", "false")


def of_form(short: int, ci: int, variable: str | None = None) -> int:
    """Return what the variable says, where one is named and set; else ``ci`` in CI and ``short`` elsewhere."""
    said = os.environ.get(variable, "") if variable else ""
    if said:
        return int(said)
    return ci if is_set("REQUIRE_LIVE") or is_set("CI") else short
