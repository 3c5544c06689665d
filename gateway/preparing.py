"""Make stores ready to serve: create what is missing in them, and fill empty embedded ones with demo data.

Both are for managed collections alone. A file in which nothing is managed, and that no file to load is written to, is opened read-only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config import Settings, hidden
from gateway.errors import ConfigError, GatewayError, StoresNotReady, StoreTimeout, StoreUnavailable
from gateway.graph.fields import Graph
from gateway.loading import write_batches
from gateway.migrating import migrate, pending
from gateway.stores import Stores
from gateway.stores.base import Collection, Fetch, Page, Row
from gateway.stores.funnel import NOTHING_SLOW, Layer
from gateway.stores.guards import Protection
from gateway.stores.kinds import kind_of
from gateway.stores.migrating import LOCK_TIMEOUT_S
from gateway.stores.moves import Gate, candidate_of
from gateway.stores.routing import Replicas
from gateway.stores.stale import Stale, StaleLimits
from gateway.writes.placing import orient
from gateway.writes.splitting import SplitRoute

__all__ = ["connect", "fill_embedded", "looked_into", "migrate", "migrate_at_start", "migrate_embedded", "opened", "url_named"]

REQUIRED_S = 4.0  # for a store that must be there at the start
SHOWN = 100  # characters of a step that waits
DEMO_USERS = 50
DEMO_SEED = 1

Say = Callable[[str], None]


def connect(settings: Settings, layers: Sequence[Layer] = (), graph: Graph | None = None, *, tells_slow: bool = False) -> Stores:
    """Return the stores of the settings, not open yet, with ``layers`` before them; ``graph`` says which are read-only.

    ``tells_slow``: calls that are slow by the settings are told in the log, which commands have none of.
    """
    called = {name: hidden(url).strip("'") for name, url in settings.candidates.items()}
    gate = Gate(called, called) if called else None
    parted = {name: settings.stores[name] for name in settings.candidates}
    splits = {name: SplitRoute(name, its.ab, its.shadow) for name, its in parted.items() if its.ab or its.shadow}
    stores = Stores.connect(
        settings.all_urls,
        timeout_s=settings.store_timeout_s,
        write_timeout_s=settings.store_write_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        pool_sizes=_pool_sizes(settings),
        layers=layers if gate is None else (*layers, gate.layer),
        read_only=() if graph is None or graph.has_mutations else untouched(graph),
        protection=_protection(settings),
        replicas={name: Replicas(store.replicas, store.max_lag_s) for name, store in settings.stores.items()},
        written_key=settings.written_key,
        slow_s=settings.slow_s if tells_slow else NOTHING_SLOW,
        coalesced=frozenset(name for name, store in settings.stores.items() if store.coalesce),
        stale=_stale(settings, graph),
        splits=splits,
    )
    stores.gate = gate
    for split in splits.values():
        split.over(stores)
    return stores


def connect_others(settings: Settings, urls: Mapping[str, str], pool_sizes: Mapping[str, int]) -> Stores:
    """Return stores of other URLs than those of the settings, not open yet, in which nothing is written."""
    return Stores.connect(
        urls,
        timeout_s=settings.store_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        pool_sizes=pool_sizes,
        read_only=urls,
        protection=_protection(settings),
    )


def _stale(settings: Settings, graph: Graph | None) -> Stale | None:
    """Return what keeps answers of the stores whose settings say so; None where none do. ConfigError at a collection that no store has."""
    seconds = {name: store.stale_if_error_s for name, store in settings.stores.items() if store.stale_if_error_s is not None}
    collections = {name: frozenset(settings.stores[name].stale_collections) for name in settings.stores}
    for name, wanted in collections.items():
        if wanted and name not in seconds:
            raise ConfigError(f"stores.{name}.stale_collections: expected stale_if_error_s, too, how old what is given may be; got none")
        known = {collection.name for collection in graph.collections if collection.store == name} if graph is not None else wanted
        for unknown in sorted(wanted - known):
            names = ", ".join(sorted(known)) or "of which there are none"
            raise ConfigError(f"stores.{name}.stale_collections: expected collections of the store, {names}; got {unknown}")
    if not seconds:
        return None
    only = {name: wanted for name, wanted in collections.items() if wanted}
    return Stale(StaleLimits(seconds, only, settings.stale_rows_max, settings.stale_limit_bytes))


def _protection(settings: Settings) -> Protection:
    return Protection(
        wait_s=settings.pool_wait_s,
        breaker_calls=settings.breaker_calls,
        breaker_share=settings.breaker_share,
        window_s=settings.breaker_window_s,
        open_s=settings.breaker_open_s,
        retry_share=settings.retry_share,
    )


def untouched(graph: Graph) -> frozenset[str]:
    """Return the stores in which a graph has nothing managed, and to which nothing is loaded or delivered."""
    loaded = {its for data in graph.datasets for its in (data.collection, *(derived.collection for derived in data.derived))}
    written = {collection.store for collection in graph.collections if collection.managed or collection in loaded}
    return frozenset(graph.store_names) - written - graph.logged


def _pool_sizes(settings: Settings) -> dict[str, int]:
    """Return the sizes of pools. One that is said for a store holds for those of the same URL that say none."""
    said = {settings.urls[name]: store.pool_size for name, store in settings.stores.items() if "pool_size" in store.model_fields_set}
    candidates = {candidate_of(name): said.get(url, settings.stores[name].pool_size) for name, url in settings.candidates.items()}
    return candidates | {
        name: store.pool_size if "pool_size" in store.model_fields_set else said.get(settings.urls[name], store.pool_size)
        for name, store in settings.stores.items()
    }


@asynccontextmanager
async def opened(settings: Settings, graph: Graph | None = None, *, tells_slow: bool = False) -> AsyncIterator[Stores]:
    """Give the stores of the settings, open, with the folders that embedded ones want their files to be in.

    ConfigError where the file of a store is not there that ``graph`` only reads.
    """
    read_only = frozenset() if graph is None else untouched(graph)
    refuse_missing_files(settings, read_only)
    make_folders(settings, read_only)
    async with _open(connect(settings, graph=graph, tells_slow=tells_slow)) as stores:
        yield stores


@asynccontextmanager
async def looked_into(settings: Settings, graph: Graph) -> AsyncIterator[Stores]:
    """Give the stores of the settings, open, for commands that change nothing: no folder is made, and no file where nobody asks it."""
    refuse_missing_files(settings, untouched(graph))
    async with _open(connect(settings, graph=graph)) as stores:
        yield stores


@asynccontextmanager
async def _open(stores: Stores) -> AsyncIterator[Stores]:
    await stores.open(routed=False)  # commands read primaries alone
    await orient(stores)
    try:
        yield stores
    finally:
        await stores.close()


def make_folders(settings: Settings, read_only: frozenset[str] = frozenset()) -> None:
    for name, path in _files(settings).items():
        if name in read_only:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"store {name}: expected a folder that can be made, {path.parent}: {error.strerror}") from error


def refuse_missing_files(settings: Settings, read_only: frozenset[str]) -> None:
    written = {path for name, path in _files(settings).items() if name not in read_only}
    for name, path in not_made(settings).items():
        if name in read_only and path not in written:
            raise ConfigError(f"stores.{name}.url: expected a file that is there, as nothing in it is managed; {path} is not")


def not_made(settings: Settings) -> dict[str, Path]:
    """Return the files of stores that are not there yet."""
    return {name: path for name, path in _files(settings).items() if not path.exists()}


def _files(settings: Settings) -> dict[str, Path]:
    files = {name: kind.file_of(url) for name, url in settings.all_urls.items() if (kind := kind_of(url)) is not None}
    return {name: path for name, path in files.items() if path is not None}


async def migrate_at_start(stores: Stores, graph: Graph, settings: Settings, say: Say, warn: Say) -> None:
    """Migrate the embedded stores, and with the setting ``migrate`` all. One that is away is told, and looked at once it is there."""
    await migrate_embedded(stores, graph, say, lock_timeout_s=settings.migrate_lock_timeout_s)
    if not settings.migrate:
        return
    own = embedded(stores, graph)
    for name in graph.store_names:
        if name in own:
            continue
        try:
            done = await migrate(stores, graph, name, lock_timeout_s=settings.migrate_lock_timeout_s)
        except (StoreUnavailable, StoreTimeout) as error:
            warn(f"Not migrated: {url_named(error, settings)}")
            continue
        for line in done:
            say(line)


def url_named(error: StoreUnavailable | StoreTimeout, settings: Settings) -> str:
    """Return what an operator is told of a store that is away: its URL, and the reason, where it is known."""
    told = f": {error.told}" if isinstance(error, StoreUnavailable) and error.told else ""
    return f"{error.message.rstrip('.')} at {hidden(settings.all_urls[error.store])}{told}."


async def require(stores: Stores, graph: Graph, settings: Settings, names: Iterable[str], *, migrated_later: Container[str] = ()) -> None:
    """Return where each of these stores can be reached, has nothing that waits, and is migrated by nobody. Changes nothing.

    StoresNotReady otherwise, with one line for all. What waits in those of ``migrated_later`` is not against them.
    """
    asked = list(names)
    told = await asyncio.gather(*(_obstacle(stores, graph, settings, name, may_wait=name in migrated_later) for name in asked))
    obstacles = [line for line in told if line]
    if obstacles:
        raise StoresNotReady(f"{'; '.join(obstacles)} (startup = 'require')")


async def _obstacle(stores: Stores, graph: Graph, settings: Settings, name: str, *, may_wait: bool) -> str | None:
    """Return what is against a start with this store."""
    try:
        async with asyncio.timeout(REQUIRED_S):
            await stores.ping(name)
            its = await pending(stores, graph, name)
    except (StoreUnavailable, StoreTimeout) as error:
        if error.store not in settings.all_urls:
            return f"store {name}: {error.message.rstrip('.')}"
        return url_named(error, settings).rstrip(".")
    except TimeoutError:
        return f"store {name}: it could not be looked at within {REQUIRED_S:g} s"
    except GatewayError as error:
        return error.message if name in error.message else f"store {name}: {error.message}"
    if its.is_locked:
        return f"store {name}: expected a store that nobody migrates, and the lock of its migrations is held"
    if its.waiting and not may_wait:
        first = its.waiting[0] if len(its.waiting[0]) <= SHOWN else f"{its.waiting[0][:SHOWN]}…"
        steps = "1 step waits" if len(its.waiting) == 1 else f"{len(its.waiting)} steps wait"
        return f"store {name}: {steps} for gateway migrate, the first is {' '.join(first.split())}"
    return None


async def migrate_embedded(stores: Stores, graph: Graph, say: Say, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
    for name in embedded(stores, graph):
        for line in await migrate(stores, graph, name, lock_timeout_s=lock_timeout_s):
            say(line)


def embedded(stores: Stores, graph: Graph) -> list[str]:
    kinds = stores.kinds()
    return [name for name in graph.store_names if name in kinds and kinds[name].is_embedded]


async def fill_embedded(stores: Stores, graph: Graph, settings: Settings, say: Say) -> None:
    """In development, fill the stores with demo data when all are embedded and empty, and all collections managed.

    What was filled by half (the process was killed) is filled again: a file in the data folder marks it.
    """
    if len(embedded(stores, graph)) < len(graph.store_names) or graph.demo is None:
        return
    if not all(collection.managed for collection in graph.collections):
        return
    unfinished = settings.data_dir / ".filling"
    if not unfinished.exists() and not await are_empty(stores, graph):
        return
    if settings.is_production:
        say("The stores are empty: fill them with gateway load DIR, or gateway seed.")
        return
    say(f"The stores are empty: filling them with demo data, {DEMO_USERS} users and what they do.")
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    rows = await write_batches(stores, graph.demo(DEMO_USERS, DEMO_SEED))
    unfinished.unlink()
    say(f"Filled: {', '.join(f'{count:,} {name}' for name, count in sorted(rows.items()))}.")


async def are_empty(stores: Stores, graph: Graph) -> bool:
    """Return whether no collection has a row."""
    for collection in graph.collections:
        answer = await stores.ask(Fetch(collection, collection.key, page=Page(limit=1)))
        if any(part.rows for part in answer.values()):
            return False
    return True


def managed_alone(batches: Iterable[tuple[Collection, Sequence[Row]]]) -> Iterator[tuple[Collection, Sequence[Row]]]:
    """Return demo data as it is. ConfigError at rows of a collection that is somebody else's."""
    for collection, rows in batches:
        if not collection.managed:
            raise ConfigError(f"the demo data: expected rows of managed collections alone, got some of {collection.name}")
        yield collection, rows
