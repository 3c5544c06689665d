"""Tests of what is promised in seconds, on a machine that others use, too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import pytest

TRIES = 3


class Wrong(AssertionError):
    """What no other work of the machine explains."""


def sure(holds: bool, told: object) -> None:
    """Have a test that is tried fail at once, whatever time there was."""
    if not holds:
        raise Wrong(told)


FAILED = (Exception, pytest.fail.Exception)
Test = TypeVar("Test", bound=Callable[..., Any])


def in_tries(test: Test) -> Test:
    """Have a test pass where one of three tries does: each is held to the whole of it, and makes what it looks at anew.

    For what is promised in seconds. What must not be however long it takes (a request that is lost, a row that is there twice) is looked
    at by ``sure``, which is not tried again.
    """
    if inspect.iscoroutinefunction(test):

        @wraps(test)
        async def awaited(*arguments: Any, **named: Any) -> None:
            for _ in range(TRIES - 1):
                try:
                    await test(*arguments, **named)
                except Wrong:
                    raise
                except FAILED:
                    continue
                return
            await test(*arguments, **named)

        return cast("Test", awaited)

    @wraps(test)
    def called(*arguments: Any, **named: Any) -> None:
        for _ in range(TRIES - 1):
            try:
                test(*arguments, **named)
            except Wrong:
                raise
            except FAILED:
                continue
            return
        test(*arguments, **named)

    return cast("Test", called)
