"""The environment as settings read it: with what stands in the files that ``…_FILE`` name, in which secrets are handed in.

``GATEWAY_HEALTH_TOKEN_FILE=/run/secrets/token`` is as ``GATEWAY_HEALTH_TOKEN`` with the text of that file, and so is
``DATABASE_URL_FILE`` where the graph declares ``DATABASE_URL``. Line ends at the end of a file are not part of its value.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from gateway.errors import ConfigError

SUFFIX = "_FILE"
LIMIT_BYTES = 64 * 1024
UNTOLD = "***"  # in errors, in place of what a file has


class Variables(Mapping[str, str]):
    """Variables by their names as they were given, and those in files by the names without ``_FILE``.

    ``prefix`` is that of settings, ``settings`` their names, ``plain`` the names of other variables. ConfigError where a file cannot be
    read, or both ways are given.
    """

    def __init__(self, prefix: str, settings: Collection[str], plain: Collection[str]) -> None:
        self._values = dict(os.environ)
        self._files: dict[str, str] = {}
        known = {f"{prefix}{name}".upper() for name in settings}
        below = f"{prefix}STORES__"
        given = {name.upper(): name for name, value in os.environ.items() if value}
        for upper, name in given.items():
            base, suffix = upper[: -len(SUFFIX)], upper[-len(SUFFIX) :]
            if suffix != SUFFIX or not (base in known or base.startswith(below) or name[: -len(SUFFIX)] in plain):
                continue
            if base in given:
                raise ConfigError(f"{given[base]}, {name}: expected one of the two, got both")
            wanted = name[: -len(SUFFIX)]
            self._values[wanted] = _text(name, os.environ[name])
            self._files[wanted] = name
            self._values.pop(name)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def shown(self, name: str) -> tuple[str, str]:
        """Return (name, value) as an error tells them: what stands in a file is not."""
        file = self._files.get(name)
        return (name, self._values[name]) if file is None else (file, UNTOLD)


def _text(name: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{name} = {path!r}: expected a file that can be read: {error.strerror}") from error
    if len(content) > LIMIT_BYTES:
        raise ConfigError(f"{name} = {path!r}: expected a file of at most {LIMIT_BYTES} bytes")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{name} = {path!r}: expected a file in UTF-8") from None
    if not text:
        raise ConfigError(f"{name} = {path!r}: expected a file with a value, got an empty one")
    return text
