"""Bytes to a GraphQL request, strictly: what two readers could read in two ways is refused."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson

from gateway.errors import BadJson, BadRequest, BatchingOff
from gateway.service import Request

VALUES_MAX = 20_000  # PERF: a body of 510,000 numbers took 215 ms to be read strictly
SURELY = 10  # so many times more commas and brackets than values are allowed are more values, whatever texts there are
PARAMETERS = ("query", "operationName", "variables", "extensions")

_INTEGER_LENGTH = 20  # characters of every integer of 64 bits
_I64_MIN, _U64_MAX = -(2**63), 2**64 - 1


def from_body(
    body: bytes, *, depth_max: int, values_max: int = VALUES_MAX, explain: str | None = None, idempotency_key: str | None = None
) -> Request:
    """Return the request in a POST's body. BadJson, BadRequest or BatchingOff say what is wrong with it."""
    return _request(decode(body, depth_max, values_max), mutation_allowed=True, explain=explain, idempotency_key=idempotency_key)


def from_query_string(query_string: bytes, *, depth_max: int, explain: str | None = None) -> Request:
    """Return the request in a GET's URL; mutations are not allowed in it."""
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except UnicodeDecodeError:
        raise BadJson("The URL's parameters are not UTF-8.") from None
    except ValueError:
        raise BadRequest("The URL has more than 20 parameters.") from None
    given = [(name, value) for name, value in pairs if name in PARAMETERS]
    fields: dict[str, Any] = dict(given)
    if len(fields) < len(given):
        raise BadRequest(f"Each of {', '.join(PARAMETERS)} can be given once.")
    # GraphQL over HTTP, "GET": variables and extensions are JSON; an empty operation name is none.
    for name in ("variables", "extensions"):
        if fields.get(name):
            fields[name] = decode(fields[name].encode(), depth_max)
        else:
            fields.pop(name, None)
    fields["operationName"] = fields.get("operationName") or None
    return _request(fields, mutation_allowed=False, explain=explain)


def from_payload(payload: Any) -> Request:
    """Return the request in the payload of a message, which is decoded already."""
    return _request(payload, mutation_allowed=True, explain=None)


def decode(body: bytes, depth_max: int, values_max: int = VALUES_MAX) -> Any:
    """Return the JSON value in ``body``; BadJson where it is none, too deep, of too many values, or where reading it would lose something.

    orjson refuses invalid UTF-8, a byte order mark, lone surrogates, NaN and infinities, but reads integers of more than 64 bits
    as floats and takes the last of equal keys. A body that is written again byte for byte has neither, and that is quick to see;
    only one that is spelled in another way (spaces, escapes) is read a second time, by a slower parser that tells.
    """
    most = body.count(b",") + body.count(b"{") + body.count(b"[")  # values, and what looks like some inside of texts
    if most > SURELY * values_max:
        raise _too_many_values(values_max)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadJson(f"The request is not valid JSON: {exc.msg}.", line=exc.lineno, column=exc.colno) from None
    if body.count(b"{") + body.count(b"[") > depth_max and isinstance(value, dict | list) and _is_deeper(value, depth_max):
        message = f"The request's JSON has more than {depth_max} levels (setting json_depth_max)."
        raise BadJson(message, limit=depth_max, setting="json_depth_max")
    if most > values_max and _has_more_values(value, values_max):
        raise _too_many_values(values_max)
    if orjson.dumps(value) != body:
        _STRICT.decode(body.decode())
    return value


def _request(fields: Any, *, mutation_allowed: bool, explain: str | None, idempotency_key: str | None = None) -> Request:
    if not isinstance(fields, dict):
        if isinstance(fields, list) and fields:
            raise BatchingOff("Batching is off: send one request at a time, as a JSON object.")
        raise BadRequest("The request must be a JSON object.")
    query = fields.get("query")
    if not isinstance(query, str):
        raise BadRequest("'query' must be a string." if "query" in fields else "'query' is missing.")
    return Request(
        query=query,
        variables=_of_type(fields, "variables", dict, "an object"),
        operation_name=_of_type(fields, "operationName", str, "a string"),
        extensions=_of_type(fields, "extensions", dict, "an object"),
        mutation_allowed=mutation_allowed,
        explain=explain,
        idempotency_key=idempotency_key,
    )


def _of_type(fields: dict[str, Any], name: str, kind: type, expected: str) -> Any:
    value = fields.get(name)
    if value is not None and not isinstance(value, kind):
        raise BadRequest(f"'{name}' must be {expected} or null.")
    return value


# --------------------------------------------------------------------------------------------------------------- strict


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        children = (child for item in level for child in (item.values() if type(item) is dict else item))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _has_more_values(value: Any, limit: int) -> bool:
    count = 0
    level = [value]
    while level and count <= limit:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict | list):
                count += len(item)
                if count > limit:
                    return True
                inner += item.values() if type(item) is dict else item
        level = inner
    return count > limit


def _too_many_values(limit: int) -> BadJson:
    message = f"The request's JSON has more than {limit} values (setting json_values_max)."
    return BadJson(message, limit=limit, setting="json_values_max")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadJson("The request's JSON has a key twice in one object.")
    return found


def _integer(text: str) -> int:
    # Longer ones are not even converted.
    if len(text) > _INTEGER_LENGTH or not _I64_MIN <= (number := int(text)) <= _U64_MAX:
        message = "The request's JSON has an integer of more than 64 bits; send it as a string."
        raise BadJson(message, limit=_INTEGER_LENGTH, actual=len(text))
    return number


def _float(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise BadJson("The request's JSON has a number that is not finite.")
    return number


def _constant(_: str) -> NoReturn:
    raise BadJson("The request's JSON has a number that is not finite.")


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant)
