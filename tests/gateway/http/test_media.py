"""Which media type an Accept header leads to, and which Content-Type is JSON."""

from __future__ import annotations

import pytest

from gateway.http import media
from gateway.http.media import GRAPHQL, JSON, accepted, is_json


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        (b"", JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"application/json", JSON),
        (b"APPLICATION/JSON ; charset=UTF-8", JSON),
        (b"application/graphql-response+json", GRAPHQL),
        (b"application/graphql-response+json, application/json", GRAPHQL),
        (b"application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", GRAPHQL),
        (b"application/json, application/graphql-response+json", JSON),
        (b"application/json;q=0.5, application/graphql-response+json", GRAPHQL),
        (b"application/json, application/graphql-response+json;q=0.9", JSON),
        (b"application/graphql-response+json, */*;q=0.1", GRAPHQL),
        (b"*/*, application/json;q=0", GRAPHQL),
        (b"text/html, application/xhtml+xml, */*;q=0.8", JSON),
        (b"application/json;q=0", None),
        (b"*/*;q=0", None),
        (b"application/json;q=2", None),
        (b"application/json;q=x", None),
        (b"application/json; charset=latin1", None),
        (b"image/png", None),
        (b"application/graphql+json", None),
        (b",;=,,", None),
        (b"\xff\xfe", None),
        (b"application/json;q=nan", None),
    ],
)
def test_accepted(accept: bytes | None, expected: bytes | None) -> None:
    assert accepted(accept) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/json", True),
        (b"application/json; odata=x; charset=utf-8", True),
        (b"application/json;charset=utf-16", False),
        (b"application/graphql-response+json", False),
        (b"application/json, text/plain", False),
        (b"", False),
        (None, False),
    ],
)
def test_is_json(content_type: bytes | None, expected: bool) -> None:
    assert is_json(content_type) is expected


def test_long_headers_are_read_and_not_remembered() -> None:
    media._accepted.cache_clear()
    media._is_json.cache_clear()
    for number in range(10):
        assert accepted(b"application/json, text/x" + b"x" * 10_000 + b"%d" % number) == JSON
        assert is_json(b"application/json; x=" + b"x" * 10_000 + b"%d" % number)
    assert (media._accepted.cache_info().currsize, media._is_json.cache_info().currsize) == (0, 0)
    accepted(b"application/json")
    assert media._accepted.cache_info().currsize == 1
