"""From where stores may be read beside where they are at home: pools that are open as long as the gateway, and what is made of a choice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.checkup import Checkup
from gateway.config import Settings, StoreSettings
from gateway.graph.fields import Graph
from gateway.graph.looking import declared_of, looks_at
from gateway.http.sources import Choice, Sources
from gateway.preparing import connect_others
from gateway.stores import Stores


class Others:
    """The sources of the settings by ``"store=name"``, with stores for each choice of them in place of those of ``stores``.

    Nothing of a source is read before it was looked at and has what the graph declares; ``unchecked`` are stores that have to be, too.
    """

    def __init__(self, settings: Settings, graph: Graph, stores: Stores, unchecked: Collection[str]) -> None:
        self._graph = graph
        self._stores = stores
        self._unchecked = frozenset(unchecked)
        urls = {f"{store}={name}": url for store, its in settings.sources.items() for name, url in its.items()}
        sizes = {key: settings.stores.get(key.partition("=")[0], StoreSettings()).pool_size for key in urls}
        self.stores = connect_others(settings, urls, sizes)
        self.sources = Sources(settings.sources, self.chosen)
        self._checkup = Checkup(self.stores, graph, tuple)
        self._held: list[Stores] = []

    def chosen(self, choice: Choice) -> Stores:
        """Return the stores of a choice."""
        keys = {store: f"{store}={name}" for store, name in choice}
        made = self._stores.reading({store: (self.stores[key], self.stores.guards[key]) for store, key in keys.items()})
        looks = looks_at(made, self._graph, keys, declared_of)
        made.hold({**looks_at(made, self._graph, self._unchecked - keys.keys()), **looks})
        self._held.append(made)
        return made

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.stores.open()
        try:
            yield
        finally:
            self._checkup.close()
            for made in self._held:
                if made.funnel.held is not None:
                    made.funnel.held.close()
            await self.stores.close()

    async def told(self) -> Mapping[str, Any]:
        """Return what health tells of sources."""
        return {"sources": [await self._checkup.of(name) for name in self._checkup.names]}
