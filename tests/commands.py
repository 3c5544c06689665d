"""Commands of ``gateway`` in this process: what they print, and how they would end one of their own.

A process of its own takes half a second more. What a start imports, how signals end it, and what it serves need one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from subprocess import CompletedProcess
from unittest.mock import patch

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from gateway.cli import cli, main

_command = cache(get_command)  # whose parameters are read from signatures, in 25 ms


def invoked(*arguments: str) -> Result:
    """Return what ``gateway`` with these arguments said and raised."""
    with patch("typer.testing._get_command", _command):
        return CliRunner().invoke(cli, arguments)


def ended(*arguments: str, **variables: str) -> CompletedProcess[str]:
    """Return what ``gateway`` with these arguments, and our environment with these variables, printed and ended with.

    Modules that it imports from the current folder are imported anew by the next command. Not for ``serve``: what that does to logging
    stays.
    """
    stdout, stderr, command = StringIO(), StringIO(), ["gateway", *arguments]
    with (
        _as_begun(),
        patch.dict(os.environ, variables),
        patch.object(sys, "argv", command),
        patch("typer.main.get_command", _command),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        pytest.raises(SystemExit) as end,
    ):
        main()
    return CompletedProcess(command, int(end.value.code or 0), stdout.getvalue(), stderr.getvalue())


@contextmanager
def _as_begun() -> Iterator[None]:
    """Leave ``sys.path`` as it was, and no module that came from a folder that was not on it."""
    path, modules, here = list(sys.path), set(sys.modules), os.getcwd()
    try:
        yield
    finally:
        sys.path[:] = path
        for name in sys.modules.keys() - modules:
            if _is_from(here, sys.modules[name]):
                del sys.modules[name]


def _is_from(folder: str, module: object) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(str(place).startswith(folder + os.sep) or place == folder for place in places if place)
