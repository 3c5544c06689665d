"""The table of kinds: what a kind from outside may be called, and that nobody else names one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway.errors import ConfigError
from gateway.stores import connect, kinds
from gateway.stores.base import Store
from gateway.stores.kinds import Kind, expected_urls, kind_named, kind_of, kinds_of, normal_url, register
from gateway.stores.requests import ABILITIES
from tests.kinds import KINDS


@pytest.fixture(autouse=True)
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_BY_NAME", dict(kinds._BY_NAME))
    monkeypatch.setattr(kinds, "_BY_SCHEME", dict(kinds._BY_SCHEME))


def nothing(name: str, url: str, **_: Any) -> Store:
    raise NotImplementedError(name, url)


@pytest.mark.parametrize(
    ("url", "name", "is_embedded"),
    [
        ("postgres://h/d", "postgresql", False),
        ("postgresql+asyncpg://h/d", "postgresql", False),
        ("sqlite:///a.db", "sqlite", True),
        ("mongodb+motor://h/d", "mongodb", False),
        ("BOLT+S://h", "neo4j", False),
        ("memory://", "memory", False),
    ],
)
def test_a_kind_follows_from_a_url(url: str, name: str, is_embedded: bool) -> None:
    kind = kind_of(url)
    assert kind is not None
    assert (kind.name, kind.is_embedded, kind.can) == (name, is_embedded, ABILITIES)


@pytest.mark.parametrize("url", ["mysql://h/d", "x", "", "://"])
def test_a_url_of_no_kind(url: str) -> None:
    assert kind_of(url) is None
    assert kinds_of({"things": url}) == {}
    with pytest.raises(ConfigError, match=r"^stores\.things\.url: expected one of postgresql\+asyncpg, .*, memory as scheme, got '.*'$"):
        connect("things", url)


@pytest.mark.parametrize("name", [name for name in KINDS if "+" not in name])
def test_every_kind_that_is_tested_is_in_the_table(name: str) -> None:
    assert kind_named(name) is not None


def test_the_file_of_an_embedded_store() -> None:
    kind = kind_of("sqlite://")
    assert kind is not None
    assert kind.file_of("sqlite+aiosqlite:///data/a.db?mode=ro") == Path("data/a.db")
    assert kind.file_of("sqlite:////srv/a.db") == Path("/srv/a.db")
    assert kind.file_of("sqlite:///:memory:") is None


def test_a_registered_kind_is_connected_to_and_told_of() -> None:
    made: list[tuple[str, str, set[str]]] = []

    def remember(name: str, url: str, **options: Any) -> Store:
        made.append((name, url, set(options)))
        return connect(name, "memory://")

    register(
        Kind("cards", ("cards", "cards+tls"), remember, can=frozenset({"filter"}), place="with a box", has_place=lambda url: "box" in url)
    )
    url = normal_url("CARDS+TLS://box")
    connect("things", url, pool_size=3)
    assert made == [("things", "cards+tls://box", {"pool_size", "connect_timeout_s", "timeout_s"})]
    assert expected_urls().endswith("sqlite:/// with a path, cards://, cards+tls:// with a box, or memory://")
    with pytest.raises(ValueError, match=r"cards\+tls:// with a box"):
        normal_url("cards://")


@pytest.mark.parametrize(
    ("name", "schemes", "can", "message"),
    [
        (
            "neo4j",
            ("other",),
            (),
            "kind neo4j: expected a name that no kind has, got that of neo4j, neo4j+s, neo4j+ssc, bolt, bolt+s, bolt+ssc",
        ),
        ("cards", ("cards", "bolt"), (), "kind cards: expected schemes that no kind has, got bolt, which is neo4j's"),
        ("", ("cards",), (), "kind '': expected a name and at least one scheme, got cards"),
        ("cards", (), (), "kind 'cards': expected a name and at least one scheme, got no scheme"),
        ("cards", ("Cards",), (), "kind cards: expected schemes such as things or things+tls, got 'Cards'"),
        (
            "cards",
            ("cards",),
            ("sort",),
            "kind cards: expected what it can do to be of aggregate, count, filter, migrate, native, page, transact, write, got 'sort'",
        ),
    ],
)
def test_a_kind_that_cannot_be_is_refused_and_nothing_of_it_is_kept(name: str, schemes: Any, can: Any, message: str) -> None:
    before = (dict(kinds._BY_NAME), dict(kinds._BY_SCHEME))
    with pytest.raises(ConfigError) as refused:
        register(Kind(name, schemes, nothing, can=frozenset(can)))
    assert refused.value.message == message
    assert before == (kinds._BY_NAME, kinds._BY_SCHEME)


# ---------------------------------------------------------------------------------------------------- who names a kind

PACKAGE = Path(gateway.__file__).parent
NAMED = re.compile(r"sqlite|postgres|asyncpg|mongo|neo4j|cypher|\bbolt\b|^memory\b|MemoryStore|stores\.memory", re.IGNORECASE)
# The table, and the folders of the kinds themselves.
MAY_NAME = ("stores/kinds.py", "stores/memory/", "stores/sql/", "stores/mongo/", "stores/neo4j/")
# Where "memory" is what answers that nobody takes are kept in, and no kind.
OTHER_MEMORY = {"http/unread.py"}


def _words(tree: ast.Module) -> Iterator[str]:
    """Give a module's names and strings. Docstrings are none: prose may give an example, or say what was measured on what."""
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in prose:
                yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                yield name
            case ast.ImportFrom(module=str(name)):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def test_no_file_names_a_kind_outside_of_its_folder_and_the_table() -> None:
    found = {
        name: words
        for path in sorted(PACKAGE.rglob("*.py"))
        if not (name := path.relative_to(PACKAGE).as_posix()).startswith(MAY_NAME)
        if (words := {word for word in _words(ast.parse(path.read_text(encoding="utf-8"))) if NAMED.search(word)})
        if not (name in OTHER_MEMORY and words == {"memory"})
    }
    assert found == {}


def test_who_names_a_kind_is_found() -> None:
    tree = ast.parse('"""SQLite."""\nfrom gateway.stores.memory import MemoryStore\ndef f() -> str:\n    "neo4j"\n    return "mongodb"\n')
    assert {word for word in _words(tree) if NAMED.search(word)} == {"gateway.stores.memory", "MemoryStore", "mongodb"}
