"""Turn data and errors into the answer's bytes. What a client may see of an error is decided here, once."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from graphql import GraphQLError

from gateway.errors import Bug, GatewayError

MAX_ERRORS = 20  # then one that says how many more

_is_null = re.compile(r"Cannot return null for non-nullable field \w+\.\w+\.").fullmatch  # names the schema's field only

_log = logging.getLogger("gateway.errors")


def respond(
    data: Any, errors: Sequence[Mapping[str, Any]] = (), extensions: dict[str, Any] | None = None, *, has_data: bool = True
) -> bytes:
    """Return the JSON of an answer; errors first, as the specification recommends. TypeError where JSON cannot hold its data."""
    answer: dict[str, Any] = {}
    if errors:
        answer["errors"] = errors
    if has_data:
        answer["data"] = data
    if extensions:
        answer["extensions"] = extensions
    try:
        return orjson.dumps(answer)
    except TypeError:
        if not errors:
            raise
    return orjson.dumps(answer | {"errors": list(map(_writable, errors))})


def shown(errors: Iterable[GraphQLError], request_id: str, *, type_names: bool = True) -> list[dict[str, Any]]:
    """Return the errors as a client sees them, at most MAX_ERRORS and one that says how many more there are."""
    all_errors = list(errors)
    logged: set[int] = set()  # one store that is down fails many fields, and is one line
    result = [_shown(error, request_id, type_names, logged) for error in all_errors[:MAX_ERRORS]]
    if len(all_errors) > MAX_ERRORS:
        more = len(all_errors) - MAX_ERRORS
        code = result[-1]["extensions"]["code"]
        result.append({"message": f"{more} more errors.", "extensions": {"code": code, "more": more}})
    return result


def _writable(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an error without what JSON cannot hold of it: code of the author's may have put anything there."""
    try:
        orjson.dumps(error)
    except TypeError:
        message = str(error["message"]).encode(errors="replace").decode()
        return {**error, "message": message, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}
    return error


def _shown(error: GraphQLError, request_id: str, type_names: bool, logged: set[int]) -> dict[str, Any]:
    formatted: dict[str, Any] = dict(error.formatted)
    original = error.original_error
    is_logged = id(original) in logged
    logged.add(id(original))
    if isinstance(original, GatewayError) and not isinstance(original, Bug):
        formatted["message"] = original.message
        formatted["extensions"] = original.extensions
        if original.__cause__ is not None and not is_logged:
            _log.warning("%s: %s (%r)", request_id, getattr(original, "detail", original.message), original.__cause__)
        return formatted
    if original is None or isinstance(original, GraphQLError) or _is_null(error.message):
        if not type_names:
            formatted["message"] = "There is no value here that may stand here."
        formatted["extensions"] = {"code": "INTERNAL_SERVER_ERROR", **(formatted.get("extensions") or {})}
        return formatted
    # Unknown: the text may hold an address, a statement or a value, so the client gets the id under which the log has it.
    if not is_logged:
        _log.error("%s: unexpected error in a field", request_id, exc_info=original)
    formatted["message"] = "Internal server error."
    formatted["extensions"] = {"code": "INTERNAL_SERVER_ERROR", "requestId": request_id}
    return formatted
