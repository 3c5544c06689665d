"""What the commands do with stores: prepare, look, fill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.telling import say, say_error, tell, url_named
from gateway.errors import BadData, ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.engine.declared import Problem
    from gateway.graph.fields import Graph
    from gateway.graph.looking import Looked
    from gateway.loading import LoadReport, Step
    from gateway.stores.kinds import Kind


def refuse_wrong(graph: Graph, kinds: Mapping[str, Kind]) -> None:
    """End with all that is wrong with a graph over stores of these kinds, a line each."""
    from gateway.graph.checks import check as problems_of

    problems = problems_of(graph, kinds)
    if problems:
        raise ConfigError(listed(f"The graph has {len(problems)} {'mistake' if len(problems) == 1 else 'mistakes'}", problems))


def refuse_wrong_anywhere(graph: Graph, settings: Settings) -> None:
    """End with all that is wrong with a graph over the stores of these settings: those of each tenant, and each source in its place."""
    from gateway.config import samples_of
    from gateway.stores.kinds import kind_of, kinds_of

    for its in samples_of(settings):
        refuse_wrong(graph, kinds_of(its.urls))  # the kinds of tenants are the same; one may have no table, and so none
    kinds = kinds_of(settings.urls)
    for store, url in settings.candidates.items():
        if (kind := kind_of(url)) is not None:
            refuse_wrong(graph, {**kinds, store: kind})
    for store, sources in settings.sources.items():
        for url in sources.values():
            if (kind := kind_of(url)) is not None:
                refuse_wrong(graph, {**kinds, store: kind})


def listed(head: str, problems: Sequence[Problem]) -> str:
    return f"{head}:\n" + "\n".join(f"  {problem}" for problem in problems)


def conclude(looked: Looked, settings: Settings) -> None:
    """Say which stores were not looked at, and why, and end with all in which the others differ from what the graph declares."""
    for error in looked.away.values():
        say_error(f"Not checked: {url_named(error, settings)}")
    for name, reason in looked.silent.items():
        say_error(f"Not checked: the store '{name}', as {reason}.")
    problems = looked.problems
    if problems:
        raise ConfigError(
            listed(f"The stores differ from the graph in {len(problems)} {'place' if len(problems) == 1 else 'places'}", problems)
        )


async def prepare(settings: Settings, graph: Graph) -> Sequence[str]:
    """Make the stores ready, and return the names of those that are away, so that nobody knows what they have."""
    from gateway.capacity import check_capacity
    from gateway.graph.looking import look
    from gateway.preparing import fill_embedded, migrate_at_start, opened, require

    async with opened(settings, graph) as stores:
        await migrate_at_start(stores, graph, settings, tell, say_error)
        await require(stores, graph, settings, [name for name in graph.store_names if name in settings.required])
        await check_capacity(stores, settings, say_error)
        looked = await look(stores, graph, graph.store_names)
        conclude(looked, settings)
        for name in sorted(settings.required & looked.away.keys()):  # it went away meanwhile
            raise looked.away[name]
        await fill_embedded(stores, graph, settings, tell)
    return list(looked.away)


async def look_at_stores(settings: Settings, graph: Graph) -> Sequence[str]:
    """Return the stores that have what is declared, leaving out those whose file is not made yet. What differs ends the command.

    Indexes that are not there, of collections that are not managed, are told with the statements that make them.
    """
    from gateway.capacity import check_capacity
    from gateway.graph.looking import look
    from gateway.preparing import embedded, looked_into, not_made, require

    to_be_made = {name: f"its file {path} is not there yet" for name, path in not_made(settings).items()}
    async with looked_into(settings, graph) as stores:
        required = [name for name in graph.store_names if name in settings.required and name not in to_be_made]
        migrated = graph.store_names if settings.migrate else embedded(stores, graph)
        await require(stores, graph, settings, required, migrated_later=migrated)
        await check_capacity(stores, settings, say_error)
        looked = await look(stores, graph, [name for name in graph.store_names if name not in to_be_made])
    looked.silent = to_be_made | looked.silent
    conclude(looked, settings)
    for hint in looked.hints:
        say(f"Hint: {hint}")
    return looked.checked


async def create_missing(stores: Any, graph: Graph, settings: Settings) -> None:
    from gateway.preparing import migrate

    for name in graph.store_names:
        for line in await migrate(stores, graph, name, lock_timeout_s=settings.migrate_lock_timeout_s):
            say(line)


async def seed_stores(
    settings: Settings, graph: Graph, batches: Any, progress: Callable[[Counter[str]], None], *, if_empty: bool
) -> Counter[str] | None:
    from gateway.loading import write_batches
    from gateway.preparing import are_empty, managed_alone, opened

    async with opened(settings, graph) as stores:
        await create_missing(stores, graph, settings)
        if if_empty and not await are_empty(stores, graph):
            return None
        return await write_batches(stores, managed_alone(batches), progress)


async def load_stores(
    settings: Settings, graph: Graph, folder: Path, on_bad: Callable[[str], None] | None, progress: Callable[[Step], None]
) -> LoadReport:
    from gateway.loading import load_folder
    from gateway.preparing import opened

    def bad(error: BadData) -> None:
        assert on_bad is not None
        on_bad(error.message)

    async with opened(settings, graph) as stores:
        await create_missing(stores, graph, settings)
        return await load_folder(stores, graph.datasets, folder, on_bad=bad if on_bad else None, progress=progress)
