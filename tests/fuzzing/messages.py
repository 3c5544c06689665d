"""An HTTP request as data: what it is on the wire, and as a text from which it can be sent again."""

from __future__ import annotations

import base64
import json
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import unquote_to_bytes

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """A request. ``head``, where it is set, goes over the wire instead of what the parts before the body say."""

    method: str
    path: str
    query_string: bytes
    headers: tuple[Header, ...]
    body: bytes
    head: bytes | None = None

    @classmethod
    def post(cls, body: bytes) -> Self:
        """Return a body as most clients send it."""
        return cls("POST", "/graphql", b"", ((b"content-type", b"application/json"), (b"accept", b"application/json")), body)

    def header(self, name: bytes) -> bytes | None:
        return next((value for given, value in self.headers if given == name), None)

    def with_header(self, name: bytes, *values: bytes) -> Self:
        """Return the message with these values of a header, none of which take it away."""
        kept = [header for header in self.headers if header[0] != name]
        return replace(self, headers=(*kept, *((name, value) for value in values)))

    def framed(self) -> Self:
        """Return the message with what a client adds in the end: its host and, unless it says otherwise itself, its length."""
        framed = self
        if self.header(b"host") is None:
            framed = framed.with_header(b"host", b"127.0.0.1")
        says_length = self.header(b"content-length") is not None or self.header(b"transfer-encoding") is not None
        if says_length or not (self.body or self.method == "POST"):
            return framed
        return framed.with_header(b"content-length", b"%d" % len(self.body))

    @property
    def is_whole(self) -> bool:
        """Whether a server can tell where the request ends, and gets all of it."""
        length = self.header(b"content-length") or b"0"
        whole = length == b"%d" % len(self.body)
        return whole and self.head is None and self.header(b"transfer-encoding") is None and self.header(b"expect") is None

    @property
    def written_head(self) -> bytes:
        target = self.path.encode() + (b"?" + self.query_string if self.query_string else b"")
        lines = [b"%s %s HTTP/1.1" % (self.method.encode(), target), *(b"%s: %s" % header for header in self.headers)]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    @property
    def wire(self) -> bytes:
        return (self.written_head if self.head is None else self.head) + self.body

    def scope(self) -> dict[str, Any]:
        """Return the message as ASGI has it."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
            "root_path": "",
            "method": self.method,
            "path": unquote_to_bytes(self.path).decode(errors="replace"),
            "raw_path": self.path.encode(),
            "query_string": self.query_string,
            "headers": list(self.headers),
        }

    def said(self) -> str:
        """Return all that the client said, in every spelling that an answer may quote."""
        texts = [self.body.decode(errors="replace"), unquote_to_bytes(self.query_string.replace(b"+", b" ")).decode(errors="replace")]
        texts += [value.decode("latin-1") for _, value in self.headers]
        texts += [self.method, self.path, (self.head or b"").decode("latin-1")]
        with suppress(ValueError, RecursionError):
            texts.append(" ".join(_strings(json.loads(self.body))))
        return "\n".join(texts)

    # ------------------------------------------------------------------------------------------------------- reproducers

    def reproducer(self) -> str:
        """Return the message as one line; ``Message.again`` reads it."""
        fields = [self.method, self.path, self.query_string, [*self.headers], self.body, self.head]
        return base64.b64encode(zlib.compress(json.dumps(fields, default=_latin).encode(), 9)).decode()

    @classmethod
    def again(cls, reproducer: str) -> Self:
        method, path, query_string, headers, body, head = json.loads(zlib.decompress(base64.b64decode(reproducer)))
        listed = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        return cls(
            method,
            path,
            query_string.encode("latin-1"),
            listed,
            body.encode("latin-1"),
            head.encode("latin-1") if head is not None else None,
        )


def _latin(value: bytes) -> str:
    return value.decode("latin-1")


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, *_strings(item))]
    return []
