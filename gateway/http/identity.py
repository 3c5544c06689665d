"""Who asks, and what else of an HTTP request its batch functions and resolvers are to know: the graph's own function says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from gateway.errors import Bug, ContextMismatch, GatewayError
from gateway.graph.fields import ContextFunction
from gateway.observability import logs


async def values_of(function: ContextFunction, scope: Scope, request_id: str) -> Mapping[str, Any]:
    """Return what the graph's function gives for a request, which has no body for it.

    An error of ours is the request's answer; another, or what is no mapping, is logged and masked.
    """
    try:
        given: Any = function(Request(scope))
        if inspect.isawaitable(given):
            given = await given
        _check(given, f"{function.__module__}.{getattr(function, '__qualname__', function)}")
    except Exception as exc:
        if isinstance(exc, GatewayError) and not isinstance(exc, Bug):
            raise
        logs.unexpected(request_id, exc)
        raise GatewayError("Internal server error.", requestId=request_id) from exc
    values: Mapping[str, Any] = given
    return values


def _check(given: Any, name: str) -> None:
    if not isinstance(given, Mapping):
        raise ContextMismatch(name, expected="a mapping of names to values", got=f"a {type(given).__name__}")
    subject, scope = given.get("subject", ""), given.get("scope", ())
    if not isinstance(subject, str):
        raise ContextMismatch(name, expected="a subject that is text", got=f"a {type(subject).__name__}")
    if not isinstance(scope, frozenset | tuple) or not all(isinstance(item, str) for item in scope):
        raise ContextMismatch(name, expected="a scope that is a frozenset or a tuple of texts", got=repr(scope))
