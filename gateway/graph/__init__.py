"""What a graph is written with: fields, inputs, scalars and datasets. Its checks, which say what is wrong with it, are here too.

Authors have all of it from here, ``from gateway.graph import Node, column, many``. A name is looked up when it is first asked for: the
engine reads ``inputs`` and ``scalars``, and ``fields`` is made of the engine's sources.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.graph.datasets import Dataset, Derived, Line
    from gateway.graph.fields import (
        Connection,
        Edge,
        Graph,
        Node,
        PageInfo,
        SemanticNonNull,
        Through,
        average,
        batched,
        column,
        computed,
        count,
        each,
        embedded,
        field_of,
        lookup,
        many,
        many_edges,
        maximum,
        minimum,
        node,
        nodes,
        one,
        part,
        stats,
        subscription,
        total,
    )
    from gateway.graph.inputs import Direction, Interval, filter_of, id_of, input_of, order_of
    from gateway.graph.operators import BASIC, FULL
    from gateway.graph.scalars import SCALARS, Base64, BigInt, Date, DateTime, Json, LocalTime, ObjectID
    from gateway.graph.writing import delete, insert, missing, mutation, update, upsert, values_of, version, written
    from gateway.writes.declarations import cascade, follow_up, replicate

_NAMES = {
    "datasets": ("Dataset", "Derived", "Line"),
    "fields": (
        *("Connection", "Edge", "Graph", "Node", "PageInfo", "SemanticNonNull", "Through"),
        *(
            "average",
            "batched",
            "column",
            "computed",
            "count",
            "each",
            "embedded",
            "field_of",
            "lookup",
            "many",
            "many_edges",
            "maximum",
            "minimum",
        ),
        *("node", "nodes", "one", "part", "stats", "subscription", "total"),
    ),
    "inputs": ("Direction", "Interval", "filter_of", "id_of", "input_of", "order_of"),
    "operators": ("BASIC", "FULL"),
    "scalars": ("SCALARS", "Base64", "BigInt", "Date", "DateTime", "Json", "LocalTime", "ObjectID"),
    "writing": ("delete", "insert", "missing", "mutation", "update", "upsert", "values_of", "version", "written"),
}
_HOME = {name: f"{__name__}.{module}" for module, names in _NAMES.items() for name in names}
_HOME |= dict.fromkeys(("cascade", "follow_up", "replicate"), "gateway.writes.declarations")

__all__ = [
    "BASIC",
    "FULL",
    "SCALARS",
    "Base64",
    "BigInt",
    "Connection",
    "Dataset",
    "Date",
    "DateTime",
    "Derived",
    "Direction",
    "Edge",
    "Graph",
    "Interval",
    "Json",
    "Line",
    "LocalTime",
    "Node",
    "ObjectID",
    "PageInfo",
    "SemanticNonNull",
    "Through",
    "average",
    "batched",
    "cascade",
    "column",
    "computed",
    "count",
    "delete",
    "each",
    "embedded",
    "field_of",
    "filter_of",
    "follow_up",
    "id_of",
    "input_of",
    "insert",
    "lookup",
    "many",
    "many_edges",
    "maximum",
    "minimum",
    "missing",
    "mutation",
    "node",
    "nodes",
    "one",
    "order_of",
    "part",
    "replicate",
    "stats",
    "subscription",
    "total",
    "update",
    "upsert",
    "values_of",
    "version",
    "written",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOME[name]), name)
    return found
