"""How a schema field names where its data comes from: column(), one(), each(), many(), through(), stats(), batched(), node(),
subscription().

A field carries its source as data (in Strawberry's metadata); the engine plans from it, and nothing here runs a query. One that is
declared nullable, and is null only together with an error, says so to clients by itself: ``@semanticNonNull``.
Graphs are written with Strawberry as usual::

    @strawberry.type
    class Post(Node):
        id: strawberry.ID = column(description="…")
        author: Annotated["User", strawberry.lazy("schema.user")] | None = one(users, by="author_id", description="…")

Every function that makes a field is here, but those that write (``writing.py``). Longer than 400 lines: what authors write with is looked
up in one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Optional, TypeVar, cast

import strawberry
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from strawberry.annotation import StrawberryAnnotation
from strawberry.schema_directive import Location
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import StrawberryOptional
from strawberry.types.field import StrawberryField

from gateway.engine.sources import (
    Batched,
    BatchFunction,
    Computed,
    Each,
    Embedded,
    Followed,
    FromColumn,
    Lookup,
    Many,
    ManyEdges,
    ManyThrough,
    NodeById,
    NodesByIds,
    One,
    Part,
    Source,
    Stats,
)
from gateway.engine.sources import Through as Through
from gateway.engine.sources.source import SOURCE, source_in
from gateway.engine.values import raw
from gateway.graph.datasets import Dataset
from gateway.graph.inputs import SCALAR_OF
from gateway.graph.scalars import write_defaults
from gateway.stores.base import Collection, Column, Measure, Row, Type
from gateway.writes.declarations import Target, ends_of
from gateway.writes.feed import Event
from gateway.writes.replication import Replication

# --------------------------------------------------------------------------------------------------------------- fields


def column(name: str | None = None, *, description: str | None = None, deprecation_reason: str | None = None) -> Any:
    """Return a leaf field from the row's column of that name; by default the attribute's own name."""
    return _field(None if name is None else FromColumn(name), description, deprecation_reason=deprecation_reason)


def computed(function: Callable[..., Any], *, needs: Sequence[str], description: str | None = None) -> Any:
    """Return a leaf field that ``function`` makes from the columns ``needs``, in that order."""
    return _field(Computed(function, tuple(needs)), description)


Names = str | Sequence[str]  # of a column, or of several that are one key


def one(collection: Collection, *, by: Names, to: Names | None = None, drop: bool = False, description: str | None = None) -> Any:
    """Return a field for the row whose key, or unique column ``to``, has what the parent's column ``by`` has. Both may be several columns.

    Their types may differ: an INT in one store is the key "42" of a TEXT in another.
    """
    _require_collection("one", collection)
    return _field(One(collection, _joined(by), drop, None if to is None else _joined(to)), description)


def _require_collection(function: str, given: object) -> None:
    if isinstance(given, StrawberryField):
        raise TypeError(
            f"{function}(): expected a Collection, got a field: in the body of a class the name means the field of that name above, "
            "and no longer the collection; give one of the two another name"
        )
    if not isinstance(given, Collection):
        raise TypeError(f"{function}(): expected a Collection, got a {type(given).__name__}")


def _joined(names: Names) -> str:
    return names if isinstance(names, str) else ",".join(names)


def each(collection: Collection, *, by: str, assumed_size: int = 10, semantic_non_null: bool = True, description: str | None = None) -> Any:
    """Return a field for the rows whose keys a column lists. ``semantic_non_null=False``: the column may be null, and then the field is."""
    _require_collection("each", collection)
    return _field(Each(collection, by, assumed_size, semantic_non_null), description)


def embedded(column: str, *, columns: Sequence[Column], assumed_size: int = 10, description: str | None = None) -> Any:
    """Return a field for the object, or the list of objects, in a JSON column: a subdocument, a jsonb, a map.

    ``columns`` say what is in it, by ``at`` under other names or deeper (``Column("city", at="address.city")``). Its type's fields come
    from them as from a row's columns: leaves, and ``one``, ``many`` … by the keys that are in it.
    """
    return _field(Embedded(column, tuple(columns), assumed_size), description)


def many(
    collection: Collection,
    *,
    by: Names | None = None,
    to: Names | None = None,
    through: Through | None = None,
    where: Any,
    order: Any,
    description: str | None = None,
) -> Any:
    """Return a connection field with the arguments where, orderBy, first, after, last, before.

    ``by`` is the column of ``collection``, or are the columns, with the parent's key; or with what the parent has in ``to``.
    """
    _require_collection("many", collection)
    if through is not None and not isinstance(through, Through):
        form = 'through=Through(edges, parent="…", node="…")'
        if isinstance(through, tuple) and len(through) == 3:
            edges, parent, its_node = through
            form = f"through=Through({getattr(edges, 'name', edges)}, parent={parent!r}, node={its_node!r})"
        raise TypeError(f"many({collection.name}): expected a Through, got a {type(through).__name__}; write {form}")
    above = None if to is None else _joined(to)
    if through is None:
        source = Many(collection, None if by is None else _joined(by), above)
    else:
        source = ManyThrough(collection, None, above, through=through)
    return _field(source, description, _page_arguments(where, order))


def many_edges(
    collection: Collection, *, through: Through, to: Names | None = None, where: Any, order: Any, description: str | None = None
) -> Any:
    """Return a connection field whose edges are rows of their own: those of the collection ``through.edges``, each of them once, though
    two may have the same ends. Filter, order and cursors are of the edges; the nodes are rows of ``collection`` by key.

    Its type is a connection whose edge type has, besides ``node`` and ``cursor``, fields from the edges' columns::

        @strawberry.type
        class PlayEdge(Edge[Track]):
            seconds: int = column()
    """
    if not isinstance(through, Through):
        form = 'through=Through(edges, parent="…", node="…")'
        raise TypeError(f"many_edges({collection.name}): expected a Through, got a {type(through).__name__}; write {form}")
    source = ManyEdges(collection, None, None if to is None else _joined(to), through=through)
    return _field(source, description, _page_arguments(where, order))


def _page_arguments(where: Any, order: Any) -> list[StrawberryArgument]:
    arguments = {
        "where": (Optional[where], "Which rows; all of them without."),
        "order_by": (Optional[list[order]], "The order; by key without. The key, ascending, breaks ties."),
        "first": (Optional[int], "How many from the front; the settings page_default and page_max say how many by default and at most."),
        "after": (Optional[str], "Only what comes after this cursor, which fits the order it was made for."),
        "last": (Optional[int], "How many from the back; not together with first."),
        "before": (Optional[str], "Only what comes before this cursor."),
    }
    return [_argument(*item) for item in _flat(arguments)]


def lookup(collection: Collection, *, by: Mapping[str, str], description: str | None = None) -> Any:
    """Return a root field for one row. One argument is required; of several, exactly one must be given."""
    _require_collection("lookup", collection)
    names = list(by)
    ids = {name: _argument_type(collection, names) for name, names in by.items()}
    arguments = [_argument(name, ids[name] if len(names) == 1 else Optional[ids[name]], f"Its {name.replace('_', ' ')}.") for name in names]
    return _field(Lookup(collection, dict(by)), description, arguments)


def _argument_type(collection: Collection, names: str) -> Any:
    if names == collection.key_name and collection.type_name is not None:
        return strawberry.ID
    columns = [collection.declared[name] for name in names.split(",") if name in collection.declared]
    if len(columns) != 1:  # several columns are one key; one that there is not is told by the checks
        return str
    if columns[0].type in (Type.FLOAT, Type.BOOL, Type.JSON):
        return str
    return strawberry.ID if columns[0].refers else SCALAR_OF[columns[0].type]


def count() -> Measure:
    """Return a measure: how many rows."""
    return Measure("count")


def minimum(column: str) -> Measure:
    """Return a measure: the least value of a column of numbers, times, dates or text."""
    return Measure("min", column)


def maximum(column: str) -> Measure:
    """Return a measure: the greatest value of a column of numbers, times, dates or text."""
    return Measure("max", column)


def total(column: str) -> Measure:
    """Return a measure: the sum of a column of numbers, of its type; one that has no place in it is an error, OUT_OF_RANGE."""
    return Measure("sum", column)


def average(column: str) -> Measure:
    """Return a measure: the mean of a column of numbers, a FLOAT."""
    return Measure("avg", column)


def stats(
    collection: Collection,
    *,
    by: Names | None = None,
    to: Names | None = None,
    time: str | None = None,
    bucket: str | None = None,
    measures: Mapping[str, Measure] | None = None,
    where: Any,
    group: Any,
    default: Any,
    interval: Any = None,
    assumed_size: int = 10,
    description: str | None = None,
) -> Any:
    """Return a field of rows that are measured by groups, for all rows of ``collection`` or those whose ``by`` has the
    parent's key, or what it has in ``to``.

    ``group`` is an enum of columns; its value "time" is a bucket of the column ``time``, of the size of the argument interval, and stands
    as ``bucket`` in the rows. They have the measures by their names: ``measures={"count": count(), "paid": total("amount")}``. Of a
    column that may be null a measure may be null.
    """
    _require_collection("stats", collection)
    if not measures or not isinstance(measures, Mapping) or not all(isinstance(measure, Measure) for measure in measures.values()):
        got = "none" if not measures else repr(measures)
        raise TypeError(f"stats({collection.name}): expected measures by name, got {got}; write {_stats_form(collection, by, time)}")
    of_time = [name for name, member in getattr(group, "__members__", {}).items() if raw(raw(member)) == "time"]
    missing = [name for name, given in (("time", time), ("bucket", bucket), ("interval", interval)) if given is None]
    if of_time and missing:
        told = f"{group.__name__}.{of_time[0]} groups by time: expected {' and '.join(missing)} with it"
        raise TypeError(f"stats({collection.name}): {told}; write {_stats_form(collection, by, time)}")
    arguments = [
        _argument("where", Optional[where], "Which rows are counted; all of them without."),
        _argument("group_by", list[group], "The groups; the rows are ordered by them. TIME needs an interval.", default),
    ]
    if interval is not None:
        arguments.append(_argument("interval", Optional[interval], "The size of a time bucket, with TIME."))
    own, above = (None if names is None else _joined(names) for names in (by, to))
    return _field(Stats(collection, own, tuple(measures.items()), time, bucket, assumed_size, above), description, arguments)


def _stats_form(collection: Collection, by: Names | None, time: str | None) -> str:
    """Return a call of stats() that could be meant."""
    times = [column.name for column in collection.columns if column.type is Type.TIME]
    time = time or (times[0] if times else "…")
    parent = "" if by is None else f'by="{_joined(by)}", '
    measured = f'{{"count": count(), "first_at": minimum("{time}"), "last_at": maximum("{time}")}}'
    return f'stats({collection.name}, {parent}time="{time}", bucket="day", measures={measured}, where=…, group=…, default=…, interval=…)'


def node(*, description: str | None = None) -> Any:
    return _field(NodeById(), description, [_argument("id", strawberry.ID, "`Type:key`.")])


def nodes(*, description: str | None = None) -> Any:
    return _field(NodesByIds(), description, [_argument("ids", list[strawberry.ID], "At most as many as the setting nodes_max says.")])


def batched(
    function: BatchFunction,
    *,
    by: str = "id",
    columns: Sequence[Column] = (),
    collection: Collection | None = None,
    key_argument: str | None = None,
    refers: str | None = None,
    page: Sequence[str] = (),
    assumed_size: int = 10,
    semantic_non_null: bool = False,
    description: str | None = None,
) -> Any:
    """Return a field whose values ``function`` gives for all parents at once; its keyword-only parameters are the arguments.

    For objects these are rows of ``columns``, or of all columns of a ``collection``, or objects whose attributes are read.
    """
    if collection is not None:
        _require_collection("batched", collection)
        if columns:
            raise TypeError(f"batched({collection.name}): expected columns or a collection, which has its own, got both")
        columns = collection.columns
    parameters = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    arguments = [] if key_argument is None else [_argument(key_argument, strawberry.ID, "Whose.")]
    arguments += [_argument(p.name, p.annotation, None, p.default) for p in parameters]
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    source = Batched(function, by, tuple(columns), key_argument, refers, tuple(page), defaults, assumed_size, semantic_non_null, collection)
    return _field(source, description, arguments)


def subscription(
    collection: Collection,
    *,
    by: Mapping[str, str] | None = None,
    among: Mapping[str, str] | None = None,
    when: Callable[[Event], bool] | None = None,
    description: str | None = None,
) -> Any:
    """Return a field of the subscription's root: the row of each write of ``collection`` that leaves one, as it was written.

    ``by`` (argument to column): only rows with that value; ``among``: with one of a list of values. No argument is required.
    ``when`` is asked for each write (``gateway/writes/feed.py``), and has to be quick::

        event_recorded: Event = subscription(
            events, by={"user_id": "user_id"}, among={"types": "type"}, when=lambda write: write.action == "insert"
        )
    """
    _require_collection("subscription", collection)
    one_of, some_of = dict(by or {}), dict(among or {})
    if twice := sorted(one_of.keys() & some_of.keys()):
        raise TypeError(f"subscription({collection.name}): expected each argument once, in by or in among; got {', '.join(twice)} in both")
    types: dict[str, Any] = {name: _argument_type(collection, its) for name, its in one_of.items()}
    types |= {name: list[_argument_type(collection, its)] for name, its in some_of.items()}  # type: ignore[misc]
    arguments = [_argument(name, Optional[its], f"{_only(name)}; all of them without.") for name, its in types.items()]
    return _field(Followed(collection, by=one_of, among=some_of, when=when), description, arguments)


def _only(argument: str) -> str:
    return f"Only those of {'these' if argument.endswith('s') else 'this'} {argument.removesuffix('_id').replace('_', ' ')}"


def field_of(source: Source, *, description: str | None = None, arguments: Sequence[StrawberryArgument] = ()) -> Any:
    """Return a field of a source of one's own (``engine/sources/source.py`` says what one is)."""
    return _field(source, description, arguments)


def _field(source: Source | None, description: str | None, arguments: Sequence[StrawberryArgument] = (), **options: Any) -> Any:
    made = _SourceField(description=description, metadata={} if source is None else {SOURCE: source}, **options)
    if source is not None and not isinstance(source, FromColumn):
        # Who makes an object gives its columns; what comes from elsewhere is not theirs to give.
        made.init = made.repr = made.compare = False
    made.arguments = list(arguments)
    return made


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    description="Null only together with an error: clients that handle errors may take the field (level 0) and the items of its lists "
    "(levels 1 and below) for non-null.",
)
class SemanticNonNull:
    # A tuple, since a dataclass takes no list for a default. Applied it is UNSET, which prints as no argument at all.
    levels: list[int] = strawberry.directive_field(name="levels", default=cast("list[int]", (0,)))


class _SourceField(StrawberryField):
    """A field that knows by its source and its type whether it is ``@semanticNonNull``."""

    @property
    def directives(self) -> list[object]:
        # GraphQL types are known only once all annotations are, which is why this is asked for and not set.
        source: Source | None = self.metadata.get(SOURCE)
        if source is not None and source.promised and isinstance(self.type, StrawberryOptional):
            return [*self._directives, SemanticNonNull(levels=cast("list[int]", strawberry.UNSET))]
        return self._directives

    @directives.setter
    def directives(self, given: Sequence[object]) -> None:
        self._directives = [directive for directive in given if not isinstance(directive, SemanticNonNull)]  # a copy is given ours


def _argument(name: str, annotation: Any, description: str | None = None, default: Any = inspect.Parameter.empty) -> StrawberryArgument:
    return StrawberryArgument(name, None, StrawberryAnnotation(annotation), description=description, default=default)


def _flat(arguments: Mapping[str, tuple[Any, str]]) -> Iterable[tuple[str, Any, str]]:
    return ((name, annotation, description) for name, (annotation, description) in arguments.items())


# ---------------------------------------------------------------------------------------------------------- connections

NodeType = TypeVar("NodeType")


def part(name: str, description: str) -> Any:
    return _field(Part(name), description)


@strawberry.type(description="Where a page lies in its connection.")
class PageInfo:
    has_next_page: bool = part(
        "has_next_page", "Going forward: whether there is more behind this page. Going backward: whether `before` was given."
    )
    has_previous_page: bool = part(
        "has_previous_page", "Going backward: whether there is more in front of this page. Going forward: whether `after` was given."
    )
    start_cursor: str | None = part("start_cursor", "The cursor of the first edge; null on an empty page.")
    end_cursor: str | None = part("end_cursor", "The cursor of the last edge; null on an empty page.")


@strawberry.type(description="An object and its place in a connection.")
class Edge(Generic[NodeType]):
    node: NodeType | None = part("node", "The object.")
    cursor: str = part("cursor", "Its place, for `after` and `before`; opaque.")


@strawberry.type(description="A page of objects, after the Relay Cursor Connections specification.")
class Connection(Generic[NodeType]):
    edges: Sequence[Edge[NodeType]] | None = part("edges", "The objects of this page with their cursors.")
    nodes: list[NodeType] | None = part("nodes", "The objects of this page.")
    page_info: PageInfo = part("page_info", "Where this page lies.")
    total_count: int | None = part("total_count", "How many there are in all pages; counted only when asked.")


@strawberry.interface(description="An object with an id that is unique across types.")
class Node:
    id: strawberry.ID = column(description="`Type:key`, for example `User:6`. Opaque to clients.")


# ---------------------------------------------------------------------------------------------------------------- graph

ContextFunction = Callable[[HttpRequest], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """All that the gateway needs to know of a domain; imported by name (setting ``graph``). docs/own-graph.md has one to begin with."""

    schema: strawberry.Schema
    collections: tuple[Collection, ...]
    sdl: Path | None = None  # the exported SDL, reviewed like code
    migrations: Path | None = None  # one folder of Alembic scripts per store
    datasets: tuple[Dataset, ...] = ()
    demo: Callable[..., Iterable[tuple[Collection, Sequence[Row]]]] | None = None
    plain_urls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # DATABASE_URL and the like: which stores it serves
    first_query: str = ""  # what GraphiQL shows to somebody who comes for the first time
    middleware: tuple[Middleware, ...] = ()  # around all paths, outermost first (docs/http.md)
    context: ContextFunction | None = None  # who asks, and what else batch functions and resolvers know of it (docs/http.md)
    replication: tuple[Target, ...] = ()  # where nouns go beside their home (docs/writes.md)
    audit: str | None = None  # the store that has the audit of all writes; None: each that is written has its own

    def __post_init__(self) -> None:
        write_defaults(self.schema._schema)

    @property
    def store_names(self) -> tuple[str, ...]:
        audit = () if self.audit is None else (self.audit,)
        return tuple(dict.fromkeys([*(collection.store for collection in self.collections), *audit]))

    @property
    def has_mutations(self) -> bool:
        return self.schema._schema.mutation_type is not None

    @property
    def followed(self) -> frozenset[str]:
        """The stores whose writes are told to subscriptions."""
        type_ = self.schema._schema.subscription_type
        sources = [] if type_ is None else [source_in(definition) for definition in type_.fields.values()]
        return frozenset(source.collection.store for source in sources if isinstance(source, Followed))

    @property
    def logged(self) -> frozenset[str]:
        """The stores with tables of the gateway's own: where it writes what is managed, that it delivers to, or whose writes it tells."""
        if not self.has_mutations and not self.replication:
            return self.followed
        written = [collection.store for collection in self.collections if collection.managed and self.has_mutations]
        ends = [its for target in self.replication for its in ends_of(target)]
        return self.followed.union([*written, *(its.store for its in ends), *(() if self.audit is None else (self.audit,))])

    @property
    def writes(self) -> Replication:
        """What it declares of its writes, as transactions look it up."""
        return Replication(self.replication, self.audit, self.logged)
