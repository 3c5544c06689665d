"""Ways of getting data: a file each, with its whole way through the phases (``source.py`` says what that is)."""

from gateway.engine.sources.batched import Batched, BatchFunction
from gateway.engine.sources.column import Computed, FromColumn
from gateway.engine.sources.connection import Many, ManyThrough, Through
from gateway.engine.sources.embedded import Embedded
from gateway.engine.sources.found import source_of
from gateway.engine.sources.key import Each, Lookup, One
from gateway.engine.sources.many_edges import ManyEdges
from gateway.engine.sources.mutation import Mutation
from gateway.engine.sources.node import NodeById, NodesByIds
from gateway.engine.sources.parts import Part
from gateway.engine.sources.resolver import Resolver
from gateway.engine.sources.source import KEPT, NO_ARGUMENTS, Asked, Bound, Call, Source, Steps
from gateway.engine.sources.stats import Stats
from gateway.engine.sources.stream import ByHand, Followed, Happened, Streaming
from gateway.engine.sources.version import Version
from gateway.engine.sources.written import Written

__all__ = [
    "KEPT",
    "NO_ARGUMENTS",
    "Asked",
    "BatchFunction",
    "Batched",
    "Bound",
    "ByHand",
    "Call",
    "Computed",
    "Each",
    "Embedded",
    "Followed",
    "FromColumn",
    "Happened",
    "Lookup",
    "Many",
    "ManyEdges",
    "ManyThrough",
    "Mutation",
    "NodeById",
    "NodesByIds",
    "One",
    "Part",
    "Resolver",
    "Source",
    "Stats",
    "Steps",
    "Streaming",
    "Through",
    "Version",
    "Written",
    "source_of",
]
