"""What is sent: requests by sort, drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzzing.messages import Message
from tests.samples import Sample, bad, generated, good, hostile_ones, introspection

SHARES = {"good": 50, "distinct": 20, "hostile": 15, "broken": 15}  # in 100
GENERATED = 40

BIG = Sample(
    "a big answer",
    "{ users(first: 50) { nodes { id name posts(first: 10) { nodes { id title content } } events(first: 20) { nodes { id payload } } } } }",
)
FIELDS = ("id", "name", "email", "createdAt", "updatedAt", "gender", "birthday", "languages", "active")


@dataclass(frozen=True, slots=True)
class Planned:
    """A request, of which sort it is, and what to call it."""

    sort: str
    name: str
    message: Message


class Mix:
    """Draws requests. ``generated_count`` valid operations over the whole contract are among the good ones."""

    def __init__(self, seed: int, *, generated_count: int = GENERATED) -> None:
        self._draw = Random(seed)
        self._number = 0
        self._good = [*good(), *generated(generated_count)]
        self._hostile = [*hostile_ones(), *introspection(), BIG]
        self._broken = [*broken(), *(Planned("broken", sample.name, Message.post(sample.body).framed()) for sample in bad())]

    def next(self) -> Planned:
        (sort,) = self._draw.choices(list(SHARES), list(SHARES.values()))
        if sort == "distinct":
            self._number += 1
            return _of("distinct", distinct(self._number, self._draw))
        if sort == "broken":
            return self._draw.choice(self._broken)
        return _of(sort, self._draw.choice(self._good if sort == "good" else self._hostile))


def distinct(number: int, draw: Random) -> Sample:
    """Return a query whose text no other number gives."""
    fields = " ".join(draw.sample(FIELDS, draw.randint(1, len(FIELDS))))
    posts = f"posts(first: {draw.randint(0, 5)}) {{ nodes {{ id title }} }}" if draw.random() < 0.5 else ""
    nodes = f"u{number}: users(first: {draw.randint(1, 20)}) {{ nodes {{ {fields} {posts} }} }}"
    return Sample("a distinct text", f"query D{number} {{ {nodes} }}")


def broken() -> Sequence[Planned]:
    """Return requests that are none: no JSON, other JSON, cut bodies, wrong types."""
    bodies = {
        "empty body": b"",
        "no JSON": b"NONSENSE",
        "half JSON": b'{"query": "{ users',
        "null": b"null",
        "a list": b'[{"query": "{ __typename }"}]',
        "a query that is a number": b'{"query": 5}',
        "no query": b'{"qeury": "{ __typename }"}',
        "variables that are a list": b'{"query": "{ __typename }", "variables": [7]}',
        "an operation name that is a number": b'{"query": "{ __typename }", "operationName": 5}',
        "extensions that are a number": b'{"query": "{ __typename }", "extensions": 3}',
        "invalid UTF-8": b'{"query": "\xff\xfe"}',
        "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
        "a lone surrogate": rb'{"query": "{ __typename }", "operationName": "\ud800"}',
        "NaN": b'{"query": "{ __typename }", "variables": {"x": NaN}}',
        "5,000 digits": b'{"query": "{ __typename }", "variables": {"x": ' + b"9" * 5_000 + b"}}",
        "a key twice": b'{"query": "{ __typename }", "query": "{ users { totalCount } }"}',
        "JSON of 100,000 levels": b"[" * 100_000 + b"]" * 100_000,
        "more than a MiB": b'{"query": "' + b" " * 1_048_577 + b'"}',
    }
    good_body = b'{"query":"{ __typename }"}'
    heads = {
        "another media type": Message.post(good_body).with_header(b"content-type", b"text/plain"),
        "nothing acceptable": Message.post(good_body).with_header(b"accept", b"image/png"),
        "compressed": Message.post(good_body).with_header(b"content-encoding", b"gzip"),
        "a body that is cut": Message.post(good_body[:10]).with_header(b"content-length", b"%d" % len(good_body)),
        "a length that is none": Message.post(good_body).with_header(b"content-length", b"-1"),
        "a URL that is too long": Message("GET", "/graphql", b"query=" + b"x" * 9_000, (), b""),
        "a mutation by GET": Message("GET", "/graphql", b"query=mutation%7B__typename%7D", (), b""),
        "another method": Message("DELETE", "/graphql", b"", (), b""),
        "another path": Message("POST", "/nothing", b"", (), b""),
    }
    messages = {name: Message.post(body) for name, body in bodies.items()} | heads
    return [Planned("broken", name, message.framed()) for name, message in messages.items()]


def _of(sort: str, sample: Sample) -> Planned:
    return Planned(sort, sample.name, Message.post(sample.body).framed())
