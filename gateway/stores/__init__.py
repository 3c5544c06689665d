"""The stores by name: which kind each URL is, and one life for all of them. What they are asked goes through the funnel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from gateway.errors import AbilityMissing, ConfigError, WrongValue
from gateway.observability.accounts import Account
from gateway.observability.metrics import Reading
from gateway.stores.base import A, Bounded, Collection, Request, Store, Transaction, Transacts
from gateway.stores.described import Describes, Description
from gateway.stores.funnel import NO_ROUTES, NOTHING_SLOW, Funnel, Layer, StoreCall, StoresByName
from gateway.stores.guards import Guard, Protection, guards_of
from gateway.stores.kinds import Kind, kind_named, kind_of, scheme_of, schemes
from gateway.stores.migrating import GRAPH, LOCK_TIMEOUT_S, Migrates, Owner
from gateway.stores.moves import Gate, candidate_of
from gateway.stores.routing import Freshness, Replicas, Route, refuse_replicas
from gateway.stores.stale import Stale
from gateway.stores.tokens import Tokens
from gateway.stores.unchecked import Look

READ_TIMEOUT_S = 3.0
WRITE_TIMEOUT_S = 5.0

_log = logging.getLogger("gateway.errors")


def connect(
    name: str,
    url: str,
    *,
    pool_size: int | None = None,
    connect_timeout_s: float = 2.0,
    timeout_s: float = READ_TIMEOUT_S,
    is_read_only: bool = False,
) -> Store:
    """Return the store that ``url`` names, not open yet. ConfigError where no kind has its scheme (``kinds.py``).

    ``is_read_only``: nothing writes there, and a kind whose stores are files opens its so that nothing could.
    """
    kind = kind_of(url)
    if kind is None:
        raise ConfigError(f"stores.{name}.url: expected one of {', '.join(schemes())} as scheme, got '{scheme_of(url)}'")
    options: dict[str, Any] = {} if pool_size is None else {"pool_size": pool_size}
    if is_read_only and kind.can_be_read_only:
        options["is_read_only"] = True
    return kind.connect(name, url, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s, **options)


class Stores:
    """The stores of the settings by name. Equal URLs share one pool; errors carry the name that was asked.

    ``layers`` stand in the way of all that a request of a client asks (``funnel.py``), the first of them outermost. ``routes`` are of the
    stores that have replicas (``routing.py``), ``tokens`` what clients are told who write in these; None where no store has any. Of the
    stores ``coalesced`` look-ups by key of several requests become one call (``coalescing.py``). ``stale`` keeps what some answered, for
    when they fail (``stale.py``). ``calls`` counts what reached a store, by ``"store.collection"``: a split batch counts once per part.
    ``wrong_values`` counts values of other types than their columns', by store, collection and column.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        *,
        timeout_s: float = READ_TIMEOUT_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        layers: Sequence[Layer] = (),
        protection: Protection | None = None,
        guards: Mapping[str, Guard] | None = None,
        routes: Mapping[str, Route] = NO_ROUTES,
        written_key: str = "",
        slow_s: Mapping[str, float] = NOTHING_SLOW,
        coalesced: Container[str] = (),
        stale: Stale | None = None,
    ) -> None:
        self._stores = StoresByName(stores)
        self.timeout_s = timeout_s
        self.routes = routes
        stale_s = stale.longest_s(routes) if stale is not None else 0.0
        self.tokens = Tokens(self._unique_routes(), written_key, stale_s=stale_s) if routes else None
        self.gate: Gate | None = None  # of those that have a candidate
        self.funnel = Funnel(
            self._stores,
            layers,
            timeout_s=timeout_s,
            write_timeout_s=write_timeout_s,
            protection=protection,
            guards=guards,
            routes=routes,
            slow_s=slow_s,
            coalesced=coalesced,
            stale=stale,
        )

    @classmethod
    def connect(
        cls,
        urls: Mapping[str, str],
        *,
        timeout_s: float = READ_TIMEOUT_S,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        connect_timeout_s: float = 2.0,
        pool_sizes: Mapping[str, int | None] | None = None,
        layers: Sequence[Layer] = (),
        read_only: Container[str] = (),
        protection: Protection | None = None,
        replicas: Mapping[str, Replicas] | None = None,
        written_key: str = "",
        slow_s: Mapping[str, float] = NOTHING_SLOW,
        coalesced: Container[str] = (),
        stale: Stale | None = None,
        splits: Mapping[str, Route] = NO_ROUTES,
    ) -> Self:
        """Return the stores of ``urls`` (name to URL), not open yet; ``read_only`` are those in which nothing is written.

        ``slow_s`` says from how many seconds on a call to a store is a line in the log.
        A URL that no kind knows is a ConfigError, and so are two sizes for the one pool of equal URLs; None is whatever the other says.
        ``splits`` are the routes of stores of which a part is read elsewhere (``writes/splitting.py``).
        ``replicas`` of one are those of all of its URL; ConfigError where they are not the same, or of a kind that has none.
        """
        sizes = _sizes(urls, pool_sizes or {})
        by_url: dict[str, Store] = {}
        stores: dict[str, Store] = {}
        for name, url in urls.items():
            found = by_url.get(url) if _is_shared(url) else None
            if found is None:
                found = by_url[url] = connect(
                    name,
                    url,
                    pool_size=sizes.get(name),
                    connect_timeout_s=connect_timeout_s,
                    timeout_s=timeout_s,
                    is_read_only=all(other in read_only for other, its in urls.items() if its == url),
                )
            stores[name] = found
        protection = protection or Protection()
        guards = guards_of(stores, protection)
        routes: dict[str, Route] = dict(splits)
        for name, (first, its) in _replicas(urls, replicas or {}).items():
            if first in routes:
                routes[name] = routes[first]
                continue
            make = kind_of(urls[name]).route  # type: ignore[union-attr]  # looked at above
            if make is None:
                raise refuse_replicas(name, f"none, for a store of kind {stores[name].kind} has no replicas", f"{len(its.urls)}")
            other = partial(connect, name, pool_size=sizes.get(name), connect_timeout_s=connect_timeout_s, timeout_s=timeout_s)
            routes[name] = make(name, urls[name], stores[name], its, connect=other, guard=guards[name], protection=protection)
        return cls(
            stores,
            timeout_s=timeout_s,
            write_timeout_s=write_timeout_s,
            layers=layers,
            guards=guards,
            routes=routes,
            written_key=written_key,
            slow_s=slow_s,
            coalesced=coalesced,
            stale=stale,
        )

    def reading(self, others: Mapping[str, tuple[Store, Guard]]) -> Stores:
        """Return these stores for reads alone, with others in place of some, each with the guard before its pool.

        Pools, guards, layers and counts are the same; who opened them closes them.
        """
        made = Stores(
            {**self._stores, **{name: store for name, (store, _) in others.items()}},
            timeout_s=self.timeout_s,
            write_timeout_s=self.funnel.write_timeout_s,
            layers=self.funnel.layers,
            guards={**self.guards, **{name: guard for name, (_, guard) in others.items()}},
            routes={name: route for name, route in self.routes.items() if name not in others},
            stale=self.funnel.stale,
        )
        made.tokens = self.tokens  # one key for all that a client is told
        made.count_with(self)
        return made

    def swap(self, name: str) -> None:
        """Have a store and its candidate change places: who asks by name asks the other one from now on."""
        self.funnel.swap(name, candidate_of(name))

    def count_with(self, other: Stores) -> None:
        """Have the calls and wrong values of both counted in one, from now on."""
        self.funnel.calls, self.funnel.wrong_values = other.funnel.calls, other.funnel.wrong_values

    def __getitem__(self, name: str) -> Store:
        return self._stores[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._stores)

    def sharing(self, name: str) -> list[str]:
        """Return the stores that are one database with this one, itself among them: their log is one, too."""
        return [other for other, store in self._stores.items() if store is self._stores[name]]

    @property
    def calls(self) -> Counter[str]:
        return self.funnel.calls

    @property
    def guards(self) -> Mapping[str, Guard]:
        """What stands before the pool of each store, by the store's name."""
        return self.funnel.guards

    @property
    def wrong_values(self) -> Counter[tuple[str, str, str]]:
        return self.funnel.wrong_values

    def kind(self, name: str) -> str:
        return self[name].kind

    def kinds(self) -> dict[str, Kind]:
        """Return the kind of each store by name; those that no table has (fakes of a test) are left out."""
        return {name: kind for name, store in self._stores.items() if (kind := kind_named(store.kind)) is not None}

    async def open(self, *, routed: bool = True) -> None:
        """Open every pool. A server that is not there is no error: its calls fail until it is. ``routed``: with the replicas."""
        await asyncio.gather(*(store.open() for store in self._unique()))
        if routed:
            await asyncio.gather(*(route.open() for route in self._unique_routes()))

    async def close(self) -> None:
        if self.funnel.held is not None:
            self.funnel.held.close()
        await asyncio.gather(*(route.close() for route in self._unique_routes()), return_exceptions=True)
        await asyncio.gather(*(store.close() for store in self._unique()), return_exceptions=True)

    def _unique(self) -> Iterable[Store]:
        return {id(store): store for store in self._stores.values()}.values()

    def _unique_routes(self) -> Sequence[Route]:
        return list({id(route): route for route in self.routes.values()}.values())

    def replica_readings(self) -> Iterator[Reading]:
        """Give what is known of replicas, as numbers."""
        for route in self._unique_routes():
            yield from route.readings()

    def coalescing_readings(self) -> Iterator[Reading]:
        """Give what look-ups of several requests shared, as numbers."""
        if self.funnel.coalescer is not None:
            yield from self.funnel.coalescer.readings()

    def stale_readings(self) -> Iterator[Reading]:
        """Give what is kept for when a store fails, as numbers."""
        if self.funnel.stale is not None:
            yield from self.funnel.stale.readings()

    def ask(self, request: Request[A], *, timeout_s: float | None = None) -> Awaitable[A]:
        """Return the answer to what no client asked for (a load, a check at the start): past the layers, in a time of its own."""
        return self.funnel.ask_unlayered(request, _Operator(timeout_s))

    async def ping(self, name: str, *, timeout_s: float | None = None) -> None:
        await self.funnel.within(name, self.timeout_s if timeout_s is None else timeout_s, self[name].ping)

    async def connections_max(self, name: str) -> int | None:
        """Return how many connections the server of a store takes, all clients together; None where it cannot be known."""
        store = self[name]
        return await self.funnel.within(name, self.timeout_s, store.connections_max) if isinstance(store, Bounded) else None

    async def describe(self, name: str, collections: Sequence[Collection], *, timeout_s: float | None = None) -> Description | None:
        """Return what the store has for these collections, which are its own; None where its kind cannot say."""
        store = self[name]
        if not isinstance(store, Describes):
            return None
        seconds = self.timeout_s if timeout_s is None else timeout_s
        return await self.funnel.within(name, seconds, partial(store.describe, collections))

    async def can_transact(self, name: str) -> bool:
        """Return whether a transaction of a store may be of several rows. False of a kind without transactions, too."""
        store = self[name]
        return isinstance(store, Transacts) and await self.funnel.within(name, self.timeout_s, store.can_transact)

    def hold(self, looks: Mapping[str, Look]) -> None:
        """Have what clients ask of these stores wait until a look at each has found nothing wrong (``unchecked.py``)."""
        if looks:
            self.funnel.hold(looks)

    async def checked(self, name: str) -> None:
        """Return once nothing holds the store back, looking at it if it is time to. StoreMismatch where something is wrong with it."""
        held = self.funnel.held
        if held is not None:
            await held.passed(name)

    async def migrate(
        self,
        name: str,
        collections: Sequence[Collection],
        scripts: Path | None,
        *,
        owner: Owner = GRAPH,
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> list[str]:
        """Create what is missing in one store; one line per thing done. Without a deadline: an index may take its time.

        Of the collections only those that are managed are handed on. AbilityMissing where its kind cannot.
        """
        store = self[name]
        kind = kind_named(store.kind)
        if kind is not None and "migrate" not in kind.can:
            raise AbilityMissing("a migration", store=name, kind=kind.name, needs="migrate")
        managed = [collection for collection in collections if collection.managed]
        if isinstance(store, Migrates):
            return await store.migrate(name, managed, scripts, owner=owner, lock_timeout_s=lock_timeout_s)
        return await store.migrate(name, managed, scripts)


@dataclass(slots=True)
class _Operator:
    """Who asks for what is no client's request."""

    timeout_s: float | None
    started: float = field(default_factory=time.monotonic)
    trace: list[StoreCall] | None = None
    within: Transaction | None = None
    request_id: str = ""
    account: Account = field(default_factory=Account)
    freshness: Freshness | None = None  # which reads all of the primary
    sharing: None = None
    may_be_stale: bool = False

    def seconds(self, limit: float) -> float:
        return limit if self.timeout_s is None else self.timeout_s

    def found_wrong(self, error: WrongValue) -> None:
        _log.warning("%s", error.detail)


def _is_shared(url: str) -> bool:
    kind = kind_of(url)
    return kind is None or kind.shares_pools


def _sizes(urls: Mapping[str, str], asked: Mapping[str, int | None]) -> dict[str, int]:
    """Return the size of each store's pool, of those of which one is said."""
    by_url: dict[str, tuple[str, int]] = {}
    for name, url in urls.items():
        size = asked.get(name)
        if size is None or not _is_shared(url):
            continue
        first, its = by_url.setdefault(url, (name, size))
        if size != its:
            raise ConfigError(
                f"stores.{name}.pool_size: expected {its}, as stores.{first}.pool_size, for both have the same url and so the same pool;"
                f" got {size}"
            )
    return {name: by_url[url][1] for name, url in urls.items() if url in by_url}


def _replicas(urls: Mapping[str, str], asked: Mapping[str, Replicas]) -> dict[str, tuple[str, Replicas]]:
    """Return the replicas of each store that has some, and the store that said so: those of one URL have the same."""
    by_url: dict[str, tuple[str, Replicas]] = {}
    for name, its in asked.items():
        kind = kind_of(urls[name])
        if not its.urls:
            continue
        if kind is not None and not kind.shares_pools:
            by_url[f"{urls[name]} {name}"] = (name, its)
            continue
        first, other = by_url.setdefault(urls[name], (name, its))
        if other != its:
            raise ConfigError(f"stores.{name}.replicas: expected those of stores.{first}, for both have the same url; got others")
    found = {name: by_url.get(f"{url} {name}") or by_url.get(url) for name, url in urls.items()}
    ordered = sorted(((name, its) for name, its in found.items() if its), key=lambda item: item[0] != item[1][0])
    return dict(ordered)
