"""Requests changed at random: the document's tokens, the body's JSON, its bytes, and the HTTP around it. A seed decides all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any
from urllib.parse import quote_plus, urlencode

from tests.fuzzing.messages import Message
from tests.samples import Sample

_MANY, _LONG = 5_000, 200_000  # tokens, bytes: what is not made many times longer, as the limits refuse it anyway
_RAW = "\ue000"  # stands for JSON that Python's writer would not write
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""|"(?:[^"\\\n]|\\.)*"|\.\.\.|[A-Za-z_]\w*|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|#[^\n]*|\s+|.', re.DOTALL
)

ODD_TOKENS = (
    *"{}()[]:!|=@$&",
    *("...", "... on User", "fragment", "query", "mutation", "subscription", "on", "null", "true", "__typename", "__schema", "__type"),
    *("@skip(if: true)", "@include(if: $x)", "$x", '"\\ud800"', '"\\u0000"', '"""', '"', "#", "\ufeff", "\x00", "\u2028", ",", "\r"),
    *(
        "-",
        "-0",
        "1e400",
        "1.",
        "0x10",
        "9" * 400,
        "-2147483649",
        "2147483648",
        "9223372036854775808",
        '"\\u{110000}"',
        '"\\x"',
        "{nodes{id}}",
    ),
    *("first: -1", "first: 101", "first: null", "last: 3", 'after: "x"', "where: {not: {}}", "where: null", "orderBy: []", "id: 1"),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 101, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 1.5, -0.0, 1e308, 5e-324),
    *("", " ", "\x00", "a\x00b", "😀", "\ufeff", "\u202e", "%", "_", "\\", "'", '"', "' OR 1=1--", "$where", "`", "'}) RETURN 1 //"),
    *("User:1", "Post:1", "User:", ":1", "User:\x00", "User:" + "9" * 400, "2020-01-01T00:00:00Z", "0000-00-00T00:00:00Z"),
    *("9999-12-31T23:59:60+14:00", "not a time", "NaN", "{ __typename }", "x" * 70_000),
    *([], {}, [[]], [{}], [None], {"": ""}, {"$ne": None}, {"eq": None}, {"in": []}, {"and": [{}]}, {"or": []}, {"not": {"not": {}}}),
    *(["User:1"] * 1_001, {"__proto__": 1}, {"constructor": {"prototype": 1}}, [1, "a", None, {}]),
)
RAW_JSON = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1e-999",
        "01",
        "1.",
        ".5",
        "+1",
        "0x1",
        "-",
        "9" * 5_000,
        "-" + "9" * 25,
        "1" + "0" * 400,
    ),
    *('"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\x"', '"\\u12"', '"\x01"', '"a\nb"', "'a'", "undefined", "tru", "nul", '"', "/**/1"),
    *('{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"id":1,}', "[1,]", "[,]", "{,}", "{1:2}", '{"a"}', '{"a":}', "[" * 70 + "]" * 70),
    *("[" * 5_000, '{"a":' * 5_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 2_000 + "1" + "}" * 2_000, "[1" + ",1" * 20_000 + "]"),
)
CONTENT_TYPES = (
    *(b"application/json;charset=utf-8", b"application/json; charset=latin1", b"application/json;charset=UTF-16", b"APPLICATION/JSON"),
    *(b"text/plain", b"application/graphql", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"", b";", b"/"),
    *(b"application/json;", b"application/json;;;;charset", b"application/json\xff", b"application/json" + b";a=b" * 500, b"application/*"),
    *(b"application/graphql-response+json", b'application/json; charset="utf-8', b"application/json, text/plain"),
)
ACCEPTS = (
    *(
        b"*/*",
        b"application/graphql-response+json",
        b"application/json;q=0",
        b"*/*;q=0",
        b"text/html",
        b"",
        b",",
        b";q=",
        b"q=1",
        b"a/b;q=nan",
    ),
    *(
        b"application/json;q=inf",
        b"application/json;q=1e999",
        b"application/json;q=-1",
        b"\xff\xfe",
        b"application/json;q=0.0001, */*;q=0.1",
    ),
    *(b"," * 3_000, b"application/*;q=1;q=0", b"application/json; charset=latin1", b"application/*, */*" * 50, b"*", b"*/json"),
)
HEADERS = (
    *((b"content-encoding", v) for v in (b"gzip", b"identity", b"br, gzip", b"", b"\xff")),
    *((b"x-request-id", v) for v in (b"a" * 65, b"\xff", b"", b"../../etc/passwd", b"<script>", b"ok-1")),
    *((b"x-gateway-explain", v) for v in (b"plan", b"trace", b"PLAN", b"", b"\xff", b"plan, trace")),
    *((b"content-length", v) for v in (b"-1", b"+5", b"0", b"1e3", b"99999999999999999999999", b"0x10", b"", b"1_0", b"\xb2", b"5, 5")),
    *((b"transfer-encoding", v) for v in (b"chunked", b"xchunked", b"gzip, chunked", b"identity")),
    *((b"host", v) for v in (b"", b"a b", b"evil.example", b"127.0.0.1:99999", b"[::1", b"\xff", b"localhost", b"127.0.0.1", b"x" * 5_000)),
    *((b"expect", v) for v in (b"100-continue", b"200-maybe")),
    *(
        (b"origin", b"null"),
        (b"cookie", b"a=b" * 2_000),
        (b"x-forwarded-for", b"';--"),
        (b"x-big", b"x" * 12_000),
        (b"graphql-require-preflight", b""),
    ),
)
METHODS = ("GET", "GET", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "post", "QUERY", "M" * 300)
PATHS = ("/graphql/", "/GraphQL", "//graphql", "/graphql/..", "/graphql%00", "/graphql%2f", "/graphql;x", "/%ff", "/graphql.py", "/nothing")


class Mutator:
    """Makes messages from samples. A message is decided by the seed and its number alone."""

    def __init__(self, samples: Sequence[Sample], seed: int) -> None:
        self._samples = samples
        self._seed = seed
        self._tokens = sorted({token for sample in samples for token in _TOKEN.findall(sample.query)[:400] if not token.isspace()})

    def message(self, number: int) -> Message:
        """Return message ``number``: a sample with one change at least, and up to three at each level."""
        draw = Random(f"{self._seed}:{number}")
        sample = draw.choice(self._samples)
        levels = draw.choice(
            ("document", "json", "variables", "bytes", "http", "get", "document bytes", "json http", "variables get", "wire")
        )
        query = self._document(draw, sample.query) if "document" in levels else sample.query
        fields: dict[str, Any] = {"query": query, "variables": dict(sample.variables) or None, "operationName": sample.operation_name}
        if "variables" in levels:
            fields["variables"] = _with_odd_values(draw, fields["variables"], query)
        if "get" in levels:
            return _http(draw, _get(draw, fields)) if draw.random() < 0.3 else _get(draw, fields).framed()
        body = _json_body(draw, fields) if "json" in levels else json.dumps({k: v for k, v in fields.items() if v is not None}).encode()
        if "bytes" in levels:
            body = _several(draw, lambda value: _bytes(draw, value, self._samples), body)
        message = Message.post(body)
        if "http" in levels:
            return _http(draw, message)
        message = message.framed()
        return replace(message, head=_bytes(draw, message.written_head, self._samples)) if levels == "wire" else message

    # --------------------------------------------------------------------------------------------------------- documents

    def _document(self, draw: Random, text: str) -> str:
        tokens = _TOKEN.findall(text)
        for _ in range(draw.randint(1, 3)):
            tokens = self._with_other_tokens(draw, tokens)
        return "".join(tokens)

    def _with_other_tokens(self, draw: Random, tokens: list[str]) -> list[str]:
        at, to = sorted((draw.randint(0, len(tokens)), draw.randint(0, len(tokens))))
        kind = draw.randrange(9)
        if kind == 0:
            return tokens[:at] + tokens[to:]
        if kind == 1:
            return tokens[:to] + tokens[at:to] * draw.choice((1, 1, 2, 8, 40) if len(tokens) < _MANY else (1,)) + tokens[to:]
        if kind == 2:
            return [*tokens[:at], draw.choice(ODD_TOKENS), *tokens[at:]]
        if kind == 3 and tokens:
            return [*tokens[: at - 1], draw.choice(ODD_TOKENS), *tokens[at:]]
        if kind == 4 and tokens:
            return [*tokens[: at - 1], draw.choice(self._tokens), *tokens[at:]]
        if kind == 5:  # two parts change places
            middle = draw.randint(at, to)
            return tokens[:at] + tokens[middle:to] + tokens[at:middle] + tokens[to:]
        if kind == 6:  # the end of another document
            other = _TOKEN.findall(draw.choice(self._samples).query)
            return tokens[:at] + other[draw.randint(0, len(other)) :]
        if kind == 7:
            times = draw.choice((3, 20, 70, 400))
            opening, closing = draw.choice(
                (("{a", "}"), ("[", "]"), ("{a:", "}"), ("... {", "}"), ("(", ")"), ("users{nodes{following{nodes{", "}}}}"))
            )
            return [*tokens[:at], opening * times, *tokens[at:to], closing * draw.choice((times, times - 1)), *tokens[to:]]
        return [token.swapcase() if draw.random() < 0.1 else token for token in tokens]


def _several(draw: Random, change: Callable[[bytes], bytes], value: bytes) -> bytes:
    for _ in range(draw.randint(1, 3)):
        value = change(value)
    return value


# ----------------------------------------------------------------------------------------------------------------- JSON


def _with_odd_values(draw: Random, variables: dict[str, Any] | None, query: str) -> Any:
    """Return variables of which some have other values; those that the document names may get one too."""
    if draw.random() < 0.05:
        return draw.choice(ODD_VALUES)
    changed = dict(variables or {})
    names = [*changed, *re.findall(r"\$(\w+)", query)] or ["x"]
    for _ in range(draw.randint(1, 3)):
        name = draw.choice(names)
        if name in changed and draw.random() < 0.4:
            changed[name] = _with_odd_part(draw, changed[name])
        else:
            changed[name] = draw.choice(ODD_VALUES)
    return changed


def _with_odd_part(draw: Random, value: Any) -> Any:
    """Return a JSON value of which one part, somewhere, is odd."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        key = draw.choice(list(value))
        return value | {key: _with_odd_part(draw, value[key])}
    if isinstance(value, list) and value and draw.random() < 0.8:
        at = draw.randrange(len(value))
        return [*value[:at], _with_odd_part(draw, value[at]), *value[at + 1 :]]
    return draw.choice(ODD_VALUES)


def _json_body(draw: Random, fields: dict[str, Any]) -> bytes:
    kind = draw.randrange(8)
    name = draw.choice((*fields, "extensions", "id", "query"))
    if kind == 0:
        return _dumps(draw, draw.choice(ODD_VALUES))
    if kind == 1:
        return _dumps(draw, [fields] * draw.choice((1, 2, 50)))
    if kind == 2:
        return draw.choice(RAW_JSON).encode()
    if kind == 3:  # a key twice
        text = _dumps(draw, fields).decode()
        return (text[:-1] + f", {json.dumps(name)}: {json.dumps(draw.choice(ODD_VALUES))}" + "}").encode()
    if kind == 4:
        return _dumps(draw, fields | {name: _RAW}).replace(json.dumps(_RAW).encode(), draw.choice(RAW_JSON).encode())
    if kind == 5:  # JSON that is odd, deep in the variables
        variables = {**(fields["variables"] or {}), "x": {"and": [{"name": {"eq": _RAW}}]}}
        return _dumps(draw, fields | {"variables": variables}).replace(json.dumps(_RAW).encode(), draw.choice(RAW_JSON).encode())
    if kind == 6:
        return _dumps(draw, {key: value for key, value in fields.items() if key != name})
    return _dumps(draw, fields | {name: draw.choice(ODD_VALUES)})


def _dumps(draw: Random, value: Any) -> bytes:
    indent, separators = draw.choice(((None, None), (None, (",", ":")), (2, None), ("\t", (" ,", " : "))))
    return json.dumps(value, indent=indent, separators=separators, ensure_ascii=draw.random() < 0.7).encode()


# ---------------------------------------------------------------------------------------------------------------- bytes


def _bytes(draw: Random, value: bytes, samples: Sequence[Sample]) -> bytes:
    at, to = sorted((draw.randint(0, len(value)), draw.randint(0, len(value))))
    kind = draw.randrange(10)
    if kind == 0:
        return value[:at]
    if kind == 1:
        return value[:at] + value[to:]
    if kind == 2:
        return value[:at] + draw.randbytes(draw.choice((1, 2, 8))) + value[at:]
    if kind == 3:
        return (
            value[:at]
            + draw.choice((b"\x00", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"\\ud800", b"\\u0000", b"\r\n"))
            + value[at:]
        )
    if kind == 4:
        other = draw.choice(samples).body
        return value[:at] + other[draw.randint(0, len(other)) :]
    if kind == 5:
        return value[:at] + value[at:to] * draw.choice((2, 3, 30) if len(value) < _LONG else (2,)) + value[to:]
    if kind == 6:
        return draw.choice((b"\xef\xbb\xbf", b" " * 50, b"\x00", b"\x1f\x8b\x08")) + value
    if kind == 7:
        return value.decode(errors="replace").encode(draw.choice(("utf-16", "utf-16-le", "utf-32", "utf-7")), "surrogatepass")
    changed = bytearray(value)
    for _ in range(draw.choice((1, 1, 2, 5, 20)) if changed else 0):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


# ----------------------------------------------------------------------------------------------------------------- HTTP


def _http(draw: Random, message: Message) -> Message:
    for _ in range(draw.randint(1, 3)):
        kind = draw.randrange(6)
        if kind == 0:
            message = message.with_header(b"content-type", *draw.choices(CONTENT_TYPES, k=draw.choice((0, 1, 1, 1, 2))))
        elif kind == 1:
            message = message.with_header(b"accept", *draw.choices(ACCEPTS, k=draw.choice((0, 1, 1, 1, 2))))
        elif kind in (2, 3):
            name, value = draw.choice(HEADERS)
            message = message.with_header(name, value)
        elif kind == 4:
            message = replace(message, method=draw.choice(METHODS))
        else:
            message = replace(message, path=draw.choice(PATHS))
    return message.framed()


def _get(draw: Random, fields: dict[str, Any]) -> Message:
    """Return a GET, of which the URL may be changed."""
    pairs = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in fields.items() if value is not None]
    kind = draw.randrange(8)
    if kind == 0:
        pairs.append(draw.choice(pairs))
    elif kind == 1:
        pairs = [(name, draw.choice(RAW_JSON) if name == "variables" else value) for name, value in [*pairs, ("variables", "")]]
    elif kind == 2:
        pairs += [(f"p{number}", "") for number in range(draw.choice((5, 30, 200)))]
    elif kind == 3:
        pairs = pairs[1:]
    url = urlencode(pairs, quote_via=quote_plus, errors="replace").encode()
    if kind in (4, 5):
        at = draw.randint(0, len(url))
        url = (
            url[:at]
            + draw.choice((b"%", b"%zz", b"%ff", b"%00", b"%ed%a0%80", b"&", b"=", b"+", b";", b"#", b"%u0041", b"&query="))
            + url[at:]
        )
    body = b"{}" if draw.random() < 0.05 else b""
    return Message("GET", "/graphql", url, ((b"accept", b"application/json"),), body)
