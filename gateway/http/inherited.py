"""Sockets that were opened by whoever started the process: systemd's socket activation (sd_listen_fds(3)).

They are there before the gateway is and after it: who connects while it is started again waits in their queue.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from gateway.errors import ConfigError

FIRST = 3  # file; the others follow it
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def inherited(environment: MutableMapping[str, str], first: int = FIRST) -> list[socket.socket]:
    """Return the listening sockets that ``LISTEN_FDS`` counts, for this process by ``LISTEN_PID``; none where they are not for it.

    The variables are taken out of the environment. ConfigError where something else than listening sockets of TCP is there.
    """
    process, count, _ = (environment.get(name, "") for name in _VARIABLES)
    if process != str(os.getpid()) or count in ("", "0"):
        return []
    for name in _VARIABLES:
        environment.pop(name, None)
    if not (count.isascii() and count.isdigit() and int(count) <= 1_000):
        raise ConfigError(f"LISTEN_FDS = {count!r}: expected a number of sockets")
    return [_listening(file) for file in range(first, first + int(count))]


def _listening(file: int) -> socket.socket:
    try:
        os.set_inheritable(file, False)
        found = socket.socket(fileno=file)
    except OSError as error:
        raise ConfigError(f"LISTEN_FDS: expected a socket as file {file}: {error.strerror}") from None
    is_tcp = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    if not is_tcp or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.detach()
        raise ConfigError(f"LISTEN_FDS: expected a socket as file {file} that listens for TCP (ListenStream= with a port)")
    return found
