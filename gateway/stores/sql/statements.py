"""Turn what is asked of a store into SQL text and the values bound to it. Pure: no I/O.

Text is made once per *shape* (what is asked, without keys, values and limits) and kept; a call only binds. How PostgreSQL
and SQLite spell the parts in which they differ is in ``postgresql`` and ``sqlite``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import orjson
import sqlalchemy as sa

from gateway.caches import Lru, weight_of_text
from gateway.errors import NarrowingRefused
from gateway.stores.base import (
    Aggregate,
    Bucket,
    Collection,
    Delete,
    Fetch,
    Get,
    Match,
    Native,
    NativeCall,
    Pairs,
    Row,
    Type,
    Upsert,
    Value,
    total_order,
)
from gateway.stores.measures import HALF, Part, parts
from gateway.stores.placeholders import filled, prefix_of
from gateway.stores.sql.conditions import Shape, Values, between, condition_of, ordering_of, page_shape, where_shape
from gateway.stores.sql.dialects import NO_OFFSET, Conditions, Decoder, Dialect, Expression
from gateway.stores.sql.tables import table
from gateway.stores.values import decoded

STATEMENTS_KEPT = 1_024
STATEMENTS_LIMIT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text, the names of what is bound in the order of the text, and how its rows are decoded."""

    text: str
    names: tuple[str, ...] = ()
    decoders: tuple[tuple[int, Decoder], ...] = ()
    is_json: bool = False  # its one row is a JSON array of all rows
    plain: str = ""  # the text that gives row by row what ``text`` gives as JSON

    @property
    def row_by_row(self) -> Statement:
        """The same for values that JSON cannot hold."""
        return replace(self, text=self.plain, is_json=False)

    def bind(self, values: Mapping[str, Value]) -> tuple[Value, ...]:
        return tuple([values[name] for name in self.names])

    def decode(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Return ``rows`` as wire values, column by column."""
        if self.is_json:
            rows = list(map(tuple, orjson.loads(cast("str", rows[0][0]))))
        if not self.decoders or not rows:
            return rows
        columns: list[Sequence[Value]] = list(zip(*rows, strict=True))
        for position, decode in self.decoders:
            try:
                columns[position] = [None if value is None else decode(value) for value in columns[position]]
            except (TypeError, ValueError, OverflowError):
                columns[position] = [None if value is None else decoded(decode, value) for value in columns[position]]
        return list(zip(*columns, strict=True))


class Statements:
    """The statements of one store. Each method returns a statement and, where values are asked with it, those values."""

    def __init__(self, dialect: Dialect, kept: int = STATEMENTS_KEPT) -> None:
        self.compiled = 0  # how often text was made; a test watches it
        self._dialect = dialect
        self._statements: Lru[Shape, Statement] = Lru(kept, STATEMENTS_LIMIT_BYTES)

    def get(self, get: Get) -> tuple[Statement, Values]:
        values: Values = {}
        where = where_shape(get.where, values, self._dialect)
        shape = ("get", get.collection, get.columns, get.column, where)
        return self._once(shape, lambda: self._get(get.collection, get.columns, get.column, where)), values

    def rows(self, fetch: Fetch) -> tuple[Statement, Values]:
        """The rows of a page, or all; with a match, behind the asked columns the parent they belong to."""
        values: Values = {}
        match, page = fetch.match, fetch.page
        where = where_shape(fetch.where, values, self._dialect)
        bounds = page_shape(page, values)
        column = match.column if match else None
        shape = ("rows", type(match), column, fetch.collection, fetch.columns, where, fetch.order, bounds)
        return self._once(shape, lambda: self._rows(fetch, where, bounds)), values

    def totals(self, fetch: Fetch) -> tuple[Statement, Values]:
        """The number of rows that match, per parent: rows of (parent, total)."""
        values: Values = {}
        where = where_shape(fetch.where, values, self._dialect)
        column = fetch.match.column if fetch.match else None
        shape = ("totals", type(fetch.match), column, fetch.collection, where)
        return self._once(shape, lambda: self._totals(fetch, where)), values

    def aggregate(self, aggregate: Aggregate) -> tuple[Statement, Values]:
        """The groups and measures; behind them the parent they belong to."""
        values: Values = {}
        where = where_shape(aggregate.where, values, self._dialect)
        column = aggregate.match.column if aggregate.match else None
        shape = ("aggregate", column, aggregate.collection, aggregate.groups, aggregate.measures, where, aggregate.most)
        return self._once(shape, lambda: self._aggregate(aggregate, where)), values

    def native(self, call: NativeCall) -> tuple[Statement, Values]:
        """The query's own statement, with the conditions of the collections that the call is narrowed on."""
        values: Values = {}
        narrowings = tuple(
            [
                (collection, where_shape(where, values, self._dialect, prefix_of(number)))
                for number, (collection, where) in enumerate(call.narrowings)
            ]
        )
        return self._once(("native", call.native, narrowings), lambda: self._native(call.native, narrowings)), values

    def upsert(self, upsert: Upsert) -> Statement:
        build = self._dialect.upsert
        return self._once(("upsert", upsert.collection), lambda: self._compile(build(table(upsert.collection), upsert.collection)))

    def delete(self, delete: Delete) -> Statement:
        build = self._dialect.delete
        return self._once(("delete", delete.collection), lambda: self._compile(build(table(delete.collection), delete.collection)))

    # ------------------------------------------------------------------------------------------------------- once a shape

    def _once(self, shape: Shape, build: Callable[[], Statement]) -> Statement:
        statement = self._statements.get(shape)
        if statement is None:
            statement = build()
            self.compiled += 1
            self._statements.put(shape, statement, weight_of_text(statement.text) + weight_of_text(statement.plain))
        return statement

    def _compile(self, element: sa.ClauseElement, types: Sequence[Type] = ()) -> Statement:
        compiled = cast("sa.sql.compiler.SQLCompiler", element.compile(dialect=self._dialect.sqlalchemy))
        names = tuple(compiled.positiontup or ())
        if not isinstance(element, sa.Select):
            return Statement(str(compiled), names)
        return self._statement(str(compiled), names, types, len(element.selected_columns), self._dialect.decoders)

    def _statement(
        self, text: str, names: tuple[str, ...], types: Sequence[Type], width: int, decoders: Mapping[Type, Decoder]
    ) -> Statement:
        """Return a statement whose rows have ``width`` columns, the first of them of ``types``."""
        plain = text
        text, is_json = self._dialect.at_once(text, [*types, *[Type.TEXT] * (width - len(types))])
        return Statement(text, names, _decoders(types, decoders), is_json, plain)

    def _get(self, collection: Collection, columns: tuple[str, ...], key: str, where: Shape | None) -> Statement:
        source = table(collection)
        shown = columns if key in columns else (*columns, key)
        types = [collection[name].type for name in shown]
        found = self._dialect.is_one_of(source.c[key], "keys", collection[key].type)
        conditions = [found, condition_of(collection, source, where, self._dialect)] if where else [found]
        return self._compile(sa.select(*self._shown(source.c, shown, types)).where(*conditions), types)

    def _rows(self, fetch: Fetch, where: Shape | None, bounds: Shape | None) -> Statement:
        collection, columns = fetch.collection, fetch.columns
        source, order = table(collection), total_order(collection, fetch.order)
        backward = bounds is not None and bool(bounds[0])
        types = [collection[name].type for name in columns]

        def wanted(of: sa.FromClause) -> list[Expression]:
            conditions = [condition_of(collection, of, where, self._dialect)] if where else []
            return conditions + ([between(collection, of, order, bounds, self._dialect)] if bounds else [])

        def ordering(of: sa.FromClause) -> list[Expression]:
            return [ordering_of(of.c[o.column], collection[o.column].nullable, o.descending, backward) for o in order]

        if isinstance(fetch.match, Match):
            return self._compile(self._rows_by_key(fetch.match.column, source, columns, types, bounds, wanted, ordering), types)
        if isinstance(fetch.match, Pairs):
            return self._compile(self._rows_by_pair(fetch.match.column, source, columns, types, bounds, wanted, ordering), types)
        if bounds is None:
            shown = self._shown(source.c, columns, types)
            return self._compile(sa.select(*(shown or [sa.null()])).where(*wanted(source)).order_by(*ordering(source)), types)
        # Shown outside, so that times are formatted for the rows of the page alone.
        query = sa.select(*(_labelled(source, columns) or [sa.null().label("nothing")])).where(*wanted(source)).order_by(*ordering(source))
        page = query.limit(_limit()).offset(NO_OFFSET).subquery("page")
        return self._compile(sa.select(*(self._shown(page.c, _labels(columns), types) or [sa.null()])).select_from(page), types)

    def _rows_by_key(
        self,
        parent: str,
        source: sa.Table,
        columns: Sequence[str],
        types: Sequence[Type],
        bounds: Shape | None,
        wanted: Conditions,
        ordering: Conditions,
    ) -> sa.Select[Any]:
        if bounds is not None:
            return self._dialect.page_per_parent(source, parent, columns, types, wanted, ordering, _limit())
        found = self._dialect.is_one_of(source.c[parent], "keys", Type.TEXT)
        query = sa.select(*self._shown(source.c, columns, types), source.c[parent].label("parent"))
        return query.where(found, *wanted(source)).order_by(*ordering(source))

    def _rows_by_pair(
        self,
        key: str,
        source: sa.Table,
        columns: Sequence[str],
        types: Sequence[Type],
        bounds: Shape | None,
        wanted: Conditions,
        ordering: Conditions,
    ) -> sa.Select[Any]:
        pairs = self._dialect.pairs()
        joined = source.join(pairs, source.c[key] == pairs.c.key)
        if bounds is None:
            query = sa.select(*self._shown(source.c, columns, types), pairs.c.parent).select_from(joined)
            return query.where(*wanted(source)).order_by(*ordering(source))
        number = sa.func.row_number().over(partition_by=pairs.c.parent, order_by=ordering(source)).label("number")
        query = sa.select(*_labelled(source, columns), pairs.c.parent, number).select_from(joined).where(*wanted(source))
        ranked = query.subquery("ranked")
        shown = self._shown(ranked.c, _labels(columns), types)
        return sa.select(*shown, ranked.c.parent).where(ranked.c.number <= _limit()).order_by(ranked.c.number)

    def _totals(self, fetch: Fetch, where: Shape | None) -> Statement:
        source, match = table(fetch.collection), fetch.match
        condition = condition_of(fetch.collection, source, where, self._dialect)
        total = sa.func.count()
        if match is None:
            return self._compile(sa.select(sa.null(), total).select_from(source).where(condition))
        if isinstance(match, Pairs):
            pairs = self._dialect.pairs()
            joined = source.join(pairs, source.c[match.column] == pairs.c.key)
            return self._compile(sa.select(pairs.c.parent, total).select_from(joined).where(condition).group_by(pairs.c.parent))
        parent = source.c[match.column]
        found = self._dialect.is_one_of(parent, "keys", fetch.collection[match.column].type)
        return self._compile(sa.select(parent, total).where(found, condition).group_by(parent))

    def _aggregate(self, aggregate: Aggregate, where: Shape | None) -> Statement:
        collection, match, dialect = aggregate.collection, aggregate.match, self._dialect
        source = table(collection)
        groups = [self._group(source, group) for group in aggregate.groups]
        group_types = [Type.TIME if isinstance(group, Bucket) else collection[group].type for group in aggregate.groups]
        measured = parts(collection, aggregate.measures)
        measures = [_measure(source, part, dialect) for part in measured]
        measure_types = [part.type for part in measured]
        types = group_types + measure_types
        shown = [dialect.shown(e, t).label(f"c{i}") for i, (e, t) in enumerate(zip([*groups, *measures], types, strict=True))]
        parent = source.c[match.column] if match else None
        query = sa.select(*shown, parent if parent is not None else sa.null().label("parent")).select_from(source)
        if match:
            query = query.where(dialect.is_one_of(source.c[match.column], "keys", collection[match.column].type))
        query = query.where(condition_of(collection, source, where, dialect))
        grouped = groups if parent is None else [parent, *groups]
        if grouped:
            query = query.group_by(*grouped).order_by(*(sa.nulls_last(group.asc()) for group in groups))
        else:
            query = query.having(sa.func.count() > sa.literal_column("0"))  # no row where nothing matched
        if aggregate.most is not None:
            query = query.limit(sa.literal_column(str(aggregate.most))).offset(NO_OFFSET)
        return self._compile(query, types)

    def _group(self, source: sa.Table, group: str | Bucket) -> Expression:
        return self._dialect.bucket(source.c[group.column], group.interval) if isinstance(group, Bucket) else source.c[group]

    def _native(self, native: Native, narrowings: Sequence[tuple[Collection, Shape | None]]) -> Statement:
        query = native.query(self._dialect.kind)

        def condition(number: int, aliases: Sequence[str]) -> str:
            collection, where = narrowings[number]
            if len(aliases) != 1:
                raise NarrowingRefused(native.name, collection.name, f"expected one alias of its table, got {', '.join(aliases)}")
            element = condition_of(collection, table(collection).alias(aliases[0]), where, self._dialect, prefix_of(number))
            return str(element.compile(dialect=self._dialect.by_name))

        query = filled(native, query, [collection for collection, _ in narrowings], condition)
        text, names = self._dialect.native_text(query)
        types = [Type.TEXT, *(column.type for column in native.columns)]
        return self._statement(text, names, types, len(types), self._dialect.native_decoders)

    def _shown(self, columns: Any, names: Sequence[str], types: Sequence[Type]) -> list[Expression]:
        return [self._dialect.shown(columns[n], t).label(f"c{i}") for i, (n, t) in enumerate(zip(names, types, strict=True))]


# ----------------------------------------------------------------------------------------------------------------- pieces


def _measure(source: sa.Table, part: Part, dialect: Dialect) -> Expression:
    if part.function == "count":
        return sa.func.count()
    column = source.c[part.column]
    match part.function:
        case "min":
            return sa.func.min(column)
        case "max":
            return sa.func.max(column)
        case "number":
            return sa.func.count(column)
        case "high":
            return _whole_sum(column.op(">>")(sa.literal_column("32")))
        case "low":
            return _whole_sum(column.op("&")(sa.literal_column(str(HALF - 1))))
        case _:
            return dialect.float_sum(column)


def _whole_sum(of: Expression) -> Expression:
    return sa.cast(sa.func.sum(of), sa.BigInteger())


def _limit() -> sa.BindParameter[int]:
    return sa.bindparam("limit", type_=sa.BigInteger())


def _labels(columns: Sequence[str]) -> list[str]:
    return [f"c{position}" for position in range(len(columns))]


def _labelled(source: sa.FromClause, columns: Sequence[str]) -> list[Expression]:
    return [source.c[name].label(label) for name, label in zip(columns, _labels(columns), strict=True)]


def _decoders(types: Sequence[Type], by_type: Mapping[Type, Decoder]) -> tuple[tuple[int, Decoder], ...]:
    return tuple((position, by_type[type_]) for position, type_ in enumerate(types) if type_ in by_type)
