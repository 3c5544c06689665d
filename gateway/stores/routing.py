"""Which server answers a read: a store's primary, or a replica of it that is there and not too far behind.

    Freshness   what one request of a client has to see, and what it has written
    Route       what of one store may be read beside its primary; each kind that has replicas has its own (``kinds.py``)
    Server      one that answers a read, with the guard before its pool

Only what a query of a client reads may go to a replica. Writes, all that a mutation reads, what a request reads behind its own write, and
what no client asked for (migrations, checks, the relay, subscriptions) go to the primary: whoever asks has no Freshness then, or one that
does not let it lag.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.errors import ConfigError, StoreTimeout, StoreUnavailable
from gateway.observability.metrics import Reading
from gateway.stores.base import Request, Store
from gateway.stores.guards import Guard

AUTO = "auto"  # in place of the URLs of replicas: the driver finds them
UNKNOWN = ""  # in place of a position: the primary alone surely has it


@dataclass(slots=True)
class Freshness:
    """Of one request of a client. Positions are texts that only a route can read, by the route's name."""

    seen: dict[str, str] = field(default_factory=dict)  # what the client wrote before, and its reads have to see
    may_lag: bool = False  # whether its reads may go to a replica
    wrote: set[str] = field(default_factory=set)  # the routes of stores in which it has written, or seen what it may have written
    token: str | None = None  # what its client is told of that
    in_payload: bool = False  # where it is told: by the answer's extensions, and not by its headers


@dataclass(frozen=True, slots=True)
class Replicas:
    """The setting of one store: URLs, or AUTO alone, and how many seconds what is read may be behind; None: the kind's own."""

    urls: tuple[str, ...]
    max_lag_s: float | None = None


class Server(Protocol):
    """One that answers reads beside the primary."""

    guard: Guard

    def answer(self, request: Request[Any]) -> Awaitable[Any]: ...

    def failed(self, error: StoreUnavailable | StoreTimeout) -> None:
        """Hear that it did not answer a read: one that is away is left alone until a look finds it answering."""
        ...


class Route(Protocol):
    """What may be read of one pool beside its primary. ``name`` is that of the first store of the pool in the settings."""

    name: str

    @property
    def max_lag_s(self) -> float | None:
        """How far behind a replica may be that is read; None: nobody can say how far it is."""
        ...

    def server(self, seen: str | None) -> Server | None:
        """Return the server for one read, which has what was ``seen``; None where only the primary will do."""
        ...

    async def position(self) -> str:
        """Return a position in the primary behind all that is committed by now. An error of the store where it does not tell."""
        ...

    def later(self, one: str, other: str) -> str:
        """Return the position that is behind both."""
        ...

    def knows(self, position: str) -> bool:
        """Return whether this is a position of its own, and not one of what the store was before."""
        ...

    def told(self) -> Sequence[Mapping[str, Any]]:
        """Return what is known of each replica, as health tells it."""
        ...

    def readings(self) -> Iterator[Reading]:
        """Give the numbers of its replicas, for metrics."""
        ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


MakeRoute = Callable[..., Route]  # make(name, url, primary, replicas, connect=…, guard=…, protection=…), as below
Connect = Callable[[str], Store]  # the store of a replica's URL, with the options of the primary


def refuse_lag(name: str, found: float, expected: str) -> ConfigError:
    return ConfigError(f"stores.{name}.max_lag_s: expected {expected}; got {found:g}")


def refuse_replicas(name: str, expected: str, found: str) -> ConfigError:
    return ConfigError(f"stores.{name}.replicas: expected {expected}; got {found}")
