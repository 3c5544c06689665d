"""Which hosts a request may be for. Against DNS rebinding: a page of somebody else, whose own name was made to lead to us."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from gateway.config import Settings, normal_host
from gateway.errors import BadHttp, CallerError, ConfigError, HostNotAllowed

LONGEST = 253 + 1 + 6  # a name, its last dot, a port
REMEMBERED = 256

_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?").fullmatch


class Hosts:
    """``known`` has the header values that were found to be allowed; any other is for ``refusal`` to judge."""

    def __init__(self, settings: Settings) -> None:
        patterns = settings.allowed_hosts
        if not patterns and settings.is_production:
            raise ConfigError(
                "allowed_hosts: expected the host names under which clients reach the gateway, such as api.example.com, or * for any; "
                "got none, and production has no default"
            )
        self.known: set[bytes | None] = set()
        self._is_any = "*" in patterns
        self._has_loopback = not patterns
        self._exact = {pattern for pattern in patterns if not pattern.startswith("*")}
        self._endings = tuple(pattern[1:] for pattern in patterns if pattern.startswith("*."))
        if not patterns:
            self._exact.add(_as_set(settings.host))

    def refusal(self, host: bytes | None) -> CallerError | None:
        """Return what is wrong with a Host header, None when it is one of ours. Two headers are one with a comma in it."""
        if host is None:
            return BadHttp("The request has no Host header.")
        found = _HOST_AND_PORT(host.decode("latin-1")) if len(host) <= LONGEST else None
        try:
            name = normal_host(found[1]) if found else None
        except ValueError:
            name = None
        if name is None:
            return BadHttp("The request's Host header is malformed.")
        if not self._is_allowed(name):
            return HostNotAllowed("This host is not served here (setting allowed_hosts).", setting="allowed_hosts")
        if len(self.known) < REMEMBERED:
            self.known.add(host)
        return None

    def _is_allowed(self, name: str) -> bool:
        if self._is_any or name in self._exact or name.endswith(self._endings):
            return True
        return self._has_loopback and (name == "localhost" or name.endswith(".localhost") or name == "[::1]" or _is_loopback(name))


def _is_loopback(name: str) -> bool:
    try:
        return IPv4Address(name).is_loopback
    except ValueError:
        return False


def _as_set(host: str) -> str:
    try:
        return normal_host(host)
    except ValueError:  # no host that a client could name; whether it can be listened on is another question
        return host
