"""The kinds of database in one table: what each is called, which URLs are its own, how it is connected to, and what it can do.

A kind of one's own is ``register(Kind(...))``, before the settings are read: in the module of the graph, say. What a kind cannot do is
asked of it by nobody: ``gateway/graph/checks.py`` refuses a graph that would, and the funnel a request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gateway.errors import ConfigError
from gateway.stores.base import Store
from gateway.stores.requests import ABILITIES, Ability
from gateway.stores.routing import MakeRoute, Route

Connect = Callable[..., Store]  # connect(name, url, **options); the options are those of gateway.stores.connect


def _is_anywhere(_: str) -> bool:
    return True


def _is_no_file(_: str) -> Path | None:
    return None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of database. ``connect`` imports its driver, so that only those in use are loaded, and returns a store that is not open.

    ``name`` is what its stores have as ``kind``, and native queries as key. ``schemes`` are those of its URLs, in lower case.
    """

    name: str
    schemes: tuple[str, ...]
    connect: Connect
    _: KW_ONLY
    can: frozenset[Ability] = ABILITIES
    time_digits: int = 9  # of a second, in the TIMEs that it can hold
    collations: frozenset[str] = frozenset({"C", "nocase"})  # of the TEXT that it can compare
    driver: str | None = None  # the scheme that all its schemes stand for; None: each for itself
    shown: tuple[str, ...] = ()  # the beginnings of its URLs in errors; none: its schemes
    place: str = ""  # what has to be in a URL, in errors: "with a host"
    has_place: Callable[[str], bool] = _is_anywhere  # whether it is, in a URL of this kind; whether it exists, only a connection can tell
    shares_pools: bool = True  # stores of one URL have one pool, and so the same rows
    is_embedded: bool = False  # its stores are files of this gateway alone, which it makes and fills
    file_of: Callable[[str], Path | None] = _is_no_file  # the file of a URL
    can_be_read_only: bool = False  # whether connect takes is_read_only=True, for a file that is not to be changed
    transacts_where: str = ""  # which of its servers have transactions, in errors; none: all have
    route: MakeRoute | None = None  # what may be read beside a primary; None: its stores have no replicas

    def __post_init__(self) -> None:
        if not self.name or not self.schemes:
            raise ConfigError(f"kind {self.name!r}: expected a name and at least one scheme, got {', '.join(self.schemes) or 'no scheme'}")
        for scheme in self.schemes:
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
                raise ConfigError(f"kind {self.name}: expected schemes such as things or things+tls, got {scheme!r}")
        for ability in sorted(set(self.can) - ABILITIES):
            raise ConfigError(f"kind {self.name}: expected what it can do to be of {', '.join(sorted(ABILITIES))}, got {ability!r}")

    @property
    def beginnings(self) -> tuple[str, ...]:
        return self.shown or tuple(f"{scheme}://" for scheme in self.schemes)


def register(kind: Kind) -> None:
    """Add a kind to the table. ConfigError where its name or one of its schemes is another's."""
    if kind.name in _BY_NAME:
        raise ConfigError(f"kind {kind.name}: expected a name that no kind has, got that of {', '.join(_BY_NAME[kind.name].schemes)}")
    for scheme in kind.schemes:
        if scheme in _BY_SCHEME:
            raise ConfigError(f"kind {kind.name}: expected schemes that no kind has, got {scheme}, which is {_BY_SCHEME[scheme].name}'s")
    _BY_NAME[kind.name] = kind
    _BY_SCHEME.update(dict.fromkeys(kind.schemes, kind))


def schemes() -> tuple[str, ...]:
    return tuple(_BY_SCHEME)


def kind_named(name: str) -> Kind | None:
    return _BY_NAME.get(name)


def kind_of(url: str) -> Kind | None:
    """Return the kind that a URL is of; None where no kind has its scheme."""
    return _BY_SCHEME.get(scheme_of(url))


def kinds_of(urls: Mapping[str, str]) -> dict[str, Kind]:
    """Return the kind of each store by its name, from their URLs by name; those of no kind are left out."""
    return {name: kind for name, url in urls.items() if (kind := kind_of(url)) is not None}


def scheme_of(url: str) -> str:
    scheme, colon, _ = url.partition(":")
    return scheme.lower() if colon else ""


def normal_url(url: str) -> str:
    """Return a store's URL with the scheme that names its driver; ValueError where no kind of store has such a URL."""
    scheme, separator, rest = url.strip().partition("://")
    kind = _BY_SCHEME.get(scheme.lower())
    if kind is not None and separator:
        normal = f"{kind.driver or scheme.lower()}://{rest}"
        if kind.has_place(normal):
            return normal
    raise ValueError(f"expected {expected_urls()}")


def expected_urls() -> str:
    """Return which URLs there are, as an error says it."""
    by_place: dict[str, list[str]] = {}
    for kind in _BY_NAME.values():
        by_place.setdefault(kind.place, []).extend(kind.beginnings)
    told = [f"{', '.join(urls)} {place}" for place, urls in by_place.items() if place] + by_place.get("", [])
    return f"{', '.join(told[:-1])}, or {told[-1]}"


def default_url(path: Path) -> str:
    """Return the URL of a store that was given none, whose file is to be ``path`` and the ending of its kind."""
    return f"{SQLITE.driver}:///{path}.db"


def listed(abilities: frozenset[Ability]) -> str:
    """Return abilities as they stand behind "can" in a sentence, in the order of their names."""
    *first, last = ["answer native queries" if ability == "native" else ability for ability in sorted(abilities)]
    return f"{', '.join(first)} and {last}" if first else last


# --------------------------------------------------------------------------------------------------------------- places


def _has_host(url: str) -> bool:
    host = _host(url)
    return host is not None and _is_host_and_port(host)


def _has_hosts(url: str) -> bool:
    """Whether a URL names one host, or several, each of which may have a port."""
    hosts = _host(url)
    return hosts is not None and all(map(_is_host_and_port, hosts.split(",")))


def _has_host_or_socket(url: str) -> bool:
    """Whether a URL names a host, or in its parameter ``host`` the folder of a socket."""
    return _has_host(url) or (_host(url) == "" and "host" in parse_qs(urlsplit(url).query))


def _has_path(url: str) -> bool:
    return re.match(r"[^:]+:///.", url) is not None


def _host(url: str) -> str | None:
    """Return what stands where a URL has its host and port; None where that cannot be read."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return None


def _is_host_and_port(text: str) -> bool:
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+)(?::(\d{1,5}))?", text)
    return found is not None and int(found[1] or 0) <= 65_535


def _sqlite_file(url: str) -> Path | None:
    path = url.partition(":///")[2].partition("?")[0]
    return None if path == ":memory:" else Path(path)


# ------------------------------------------------------------------------------------------------------------ the table


def _sql(name: str, url: str, **options: Any) -> Store:
    from gateway.stores.sql.store import SqlStore

    return SqlStore(name, url, **options)


def _mongo(name: str, url: str, **options: Any) -> Store:
    from gateway.stores.mongo.store import MongoStore

    return MongoStore(name, url, **options)


def _neo4j(name: str, url: str, **options: Any) -> Store:
    from gateway.stores.neo4j.store import Neo4jStore

    return Neo4jStore(name, url, **options)


def _sql_route(*of: Any, **options: Any) -> Route:
    from gateway.stores.sql.replicas import route_of

    return route_of(*of, **options)


def _mongo_route(*of: Any, **options: Any) -> Route:
    from gateway.stores.mongo.replicas import route_of

    return route_of(*of, **options)


def _neo4j_route(*of: Any, **options: Any) -> Route:
    from gateway.stores.neo4j.replicas import route_of

    return route_of(*of, **options)


def _memory(name: str, url: str, **_: Any) -> Store:
    from gateway.stores.memory import MemoryStore

    return MemoryStore(name, url)


SQLITE = Kind(
    "sqlite",
    ("sqlite+aiosqlite", "sqlite"),
    _sql,
    driver="sqlite+aiosqlite",
    shown=("sqlite:///",),
    place="with a path",
    has_place=_has_path,
    is_embedded=True,
    file_of=_sqlite_file,
    can_be_read_only=True,
)


def _built_in() -> Iterator[Kind]:
    yield Kind(
        "postgresql",
        ("postgresql+asyncpg", "postgresql", "postgres"),
        _sql,
        driver="postgresql+asyncpg",
        shown=("postgresql://",),
        place="with a host",
        has_place=_has_host_or_socket,
        route=_sql_route,
    )
    yield Kind(
        "mongodb",
        ("mongodb", "mongodb+srv", "mongodb+motor"),
        _mongo,
        time_digits=3,
        collations=frozenset({"C"}),
        shown=("mongodb://",),
        transacts_where="of MongoDB a replica set, which may be of one node",
        place="with a host",
        has_place=_has_hosts,
        route=_mongo_route,
    )
    yield Kind(
        "neo4j",
        ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc"),
        _neo4j,
        shown=("neo4j://", "bolt://"),
        place="with a host",
        has_place=_has_host,
        route=_neo4j_route,
    )
    yield SQLITE
    yield Kind("memory", ("memory",), _memory, shares_pools=False)


_BY_NAME: dict[str, Kind] = {}
_BY_SCHEME: dict[str, Kind] = {}
for _kind in _built_in():
    register(_kind)
