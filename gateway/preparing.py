"""Make stores ready to serve: create what is missing in them, and fill empty embedded ones with demo data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.graph.fields import Graph
from gateway.loading import write_batches
from gateway.stores import Stores
from gateway.stores.base import Collection, Fetch, Page
from gateway.stores.funnel import Layer
from gateway.stores.kinds import kind_of

DEMO_USERS = 50
DEMO_SEED = 1

Say = Callable[[str], None]


def connect(settings: Settings, layers: Sequence[Layer] = ()) -> Stores:
    """Return the stores of the settings, not open yet, with ``layers`` before them."""
    return Stores.connect(
        settings.urls,
        timeout_s=settings.store_timeout_s,
        write_timeout_s=settings.store_write_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        pool_sizes=_pool_sizes(settings),
        layers=layers,
    )


def _pool_sizes(settings: Settings) -> dict[str, int]:
    """Return the sizes of pools. One that is said for a store holds for those of the same URL that say none."""
    said = {settings.urls[name]: store.pool_size for name, store in settings.stores.items() if "pool_size" in store.model_fields_set}
    return {
        name: store.pool_size if "pool_size" in store.model_fields_set else said.get(settings.urls[name], store.pool_size)
        for name, store in settings.stores.items()
    }


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Stores]:
    """Give the stores of the settings, open, with the folders that embedded ones want their files to be in."""
    make_folders(settings)
    stores = connect(settings)
    await stores.open()
    try:
        yield stores
    finally:
        await stores.close()


def make_folders(settings: Settings) -> None:
    for name, url in settings.urls.items():
        kind = kind_of(url)
        path = None if kind is None else kind.file_of(url)
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"store {name}: expected a folder that can be made, {path.parent}: {error.strerror}") from error


async def migrate(stores: Stores, graph: Graph, name: str) -> list[str]:
    """Create what is missing in one store; return one line per thing done. StoreUnavailable at once where nobody answers.

    Nothing is missing in a store whose kind cannot migrate: others make what is there.
    """
    await stores.ping(name)  # a migration itself has no deadline, as an index may take its time
    kind = stores.kinds().get(name)
    if kind is not None and "migrate" not in kind.can:
        return []
    folder = graph.migrations / name if graph.migrations else None
    return await stores.migrate(name, collections_of(graph, name), folder if folder and folder.is_dir() else None)


def collections_of(graph: Graph, name: str) -> Sequence[Collection]:
    return [collection for collection in graph.collections if collection.store == name]


async def migrate_embedded(stores: Stores, graph: Graph, say: Say) -> None:
    for name in embedded(stores, graph):
        for line in await migrate(stores, graph, name):
            say(line)


def embedded(stores: Stores, graph: Graph) -> list[str]:
    kinds = stores.kinds()
    return [name for name in graph.store_names if name in kinds and kinds[name].is_embedded]


async def fill_embedded(stores: Stores, graph: Graph, settings: Settings, say: Say) -> None:
    """In development, fill the stores with demo data when all are embedded and empty.

    What was filled by half (the process was killed) is filled again: a file in the data folder marks it.
    """
    if len(embedded(stores, graph)) < len(graph.store_names) or graph.demo is None:
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
