"""Read the settings again while serving (SIGHUP): those of ``RELOADED`` hold from then on, the others at the next start."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from gateway.config import Settings, hidden
from gateway.errors import ConfigError
from gateway.observability import logs

RELOADED = (
    "access_log",
    "drain_delay_s",
    "drain_s",
    "request_deadline_s",
    "requests_max",
    "requests_wait_s",
    "requests_waiting_max",
    "streams_max",
)

_log = logging.getLogger("gateway.settings")


class Changing(Protocol):
    """What takes other settings while it serves."""

    def change(self, settings: Settings) -> None: ...


def reload(settings: Settings, read: Callable[[], Settings], changing: Iterable[Changing]) -> Settings:
    """Return the settings that hold from now on, and give them to those that take them. The old ones, where ``read`` has a ConfigError.

    The log says which have changed, which are for the next start, or what is wrong.
    """
    try:
        wanted = read()
    except ConfigError as error:
        _log.error("the settings are as they were, for those that were read cannot be: %s", error.message)
        return settings
    different = [name for name in type(settings).model_fields if getattr(settings, name) != getattr(wanted, name)]
    changed = {name: getattr(wanted, name) for name in different if name in RELOADED}
    later = [name for name in different if name not in RELOADED]
    told = ", ".join(f"{name} = {hidden(value)}" for name, value in changed.items()) or "none has changed"
    _log.info("settings read again: %s%s", told, f"; at the next start: {', '.join(later)}" if later else "")
    held = settings.model_copy(update=changed)
    logs.write_access(held.access_log)
    for each in changing:
        each.change(held)
    return held
