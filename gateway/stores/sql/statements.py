"""Turn what is asked of a store into SQL text and the values bound to it. Pure: no I/O.

Text is made once per *shape* (what is asked, without keys, values and limits) and kept; a call only binds. How PostgreSQL
and SQLite spell the parts in which they differ is in ``postgresql`` and ``sqlite``. Longer than 400 lines: all requests are put together
from the same pieces, of which each is here once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
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
    Ends,
    Fetch,
    Get,
    Lock,
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
from gateway.stores.sql.conditions import Shape, Values, between, bound_senders, condition_of, order_of, page_shape, where_shape
from gateway.stores.sql.dialects import NO_OFFSET, Conditions, Decoder, Dialect, Expression
from gateway.stores.sql.ends import PREFIX, ends_of, shown_parent
from gateway.stores.sql.forms import Sender, fit
from gateway.stores.sql.keys import Keys, Named, keys_of
from gateway.stores.sql.tables import table
from gateway.stores.values import Unreadable, decoded

STATEMENTS_KEPT = 1_024
STATEMENTS_LIMIT_BYTES = 8 * 1024 * 1024

Cell = tuple[Decoder | None, str | None]  # how a value is decoded, and how it is put into a JSON array
_AS_IT_IS: Cell = (None, "{0}")


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text, the names of what is bound in the order of the text, and how its rows are decoded."""

    text: str
    names: tuple[str, ...] = ()
    decoders: tuple[tuple[int, Decoder], ...] = ()
    match: Keys | None = None  # what its keys are
    keys: Named = "key"  # what stands in its rows for the parent's key
    is_json: bool = False  # its one row is a JSON array of all rows
    senders: tuple[tuple[int, Sender], ...] = ()  # places of what is bound, and how it is sent
    plain: str = ""  # the text that gives row by row what ``text`` gives as JSON

    @property
    def row_by_row(self) -> Statement:
        """The same for values that JSON cannot hold."""
        return replace(self, text=self.plain, is_json=False)

    def bind(self, values: Mapping[str, Value]) -> tuple[Value, ...]:
        if not self.senders:
            return tuple([values[name] for name in self.names])
        bound = [values[name] for name in self.names]
        for place, send in self.senders:
            bound[place] = fit(send(bound[place]))
        return tuple(bound)

    def has_unreadable(self, rows: Sequence[Row]) -> bool:
        """Return whether a value could not be decoded."""
        # PERF: 20 ns a value; a look at each one's classes takes 100.
        return any(Unreadable in set(map(type, map(itemgetter(position), rows))) for position, _ in self.decoders)

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
        self._kept = kept
        self._statements: Lru[Shape, Statement] = Lru(kept, STATEMENTS_LIMIT_BYTES)

    def forget(self) -> None:
        """Make all texts anew: something is known now of what they are about."""
        self._statements = Lru(self._kept, STATEMENTS_LIMIT_BYTES)

    def get(self, get: Get) -> tuple[Statement, Values]:
        values: Values = {}
        where = where_shape(get.collection, get.where, values, self._dialect)
        shape = ("get", get.collection, get.columns, get.column, where)
        return self.once(
            shape, lambda: self._keyed_by(get.collection, get.column, self._get(get.collection, get.columns, get.column, where))
        ), values

    def rows(self, fetch: Fetch) -> tuple[Statement, Values]:
        """The rows of a page, or all; with a match, behind the asked columns the parent they belong to."""
        values: Values = {}
        match, page = fetch.match, fetch.page
        where = where_shape(fetch.collection, fetch.where, values, self._dialect)
        bounds = page_shape(page, values)
        if isinstance(match, Ends):
            edges = where_shape(match.edges, match.where, values, self._dialect, PREFIX)
            shape: Shape = (
                *("rows", Ends, match.edges, match.parent, match.node, edges),
                *(fetch.collection, fetch.columns, where, fetch.order, bounds),
            )
            return self.once(shape, lambda: self._keyed_by(match.edges, match.parent, self._page(fetch, where, bounds, edges))), values
        column = match.column if match else None
        shape = ("rows", type(match), column, fetch.collection, fetch.columns, where, fetch.order, bounds)
        return self.once(shape, lambda: self._keyed_by(fetch.collection, column, self._page(fetch, where, bounds))), values

    def totals(self, fetch: Fetch) -> tuple[Statement, Values]:
        """The number of rows that match, per parent: rows of (parent, total)."""
        values: Values = {}
        where = where_shape(fetch.collection, fetch.where, values, self._dialect)
        match = fetch.match
        if isinstance(match, Ends):
            edges = where_shape(match.edges, match.where, values, self._dialect, PREFIX)
            shape: Shape = ("totals", Ends, match.edges, match.parent, match.node, edges, fetch.collection, where)
            return self.once(shape, lambda: self._keyed_by(match.edges, match.parent, self._totals(fetch, where, edges))), values
        column = match.column if match else None
        shape = ("totals", type(match), column, fetch.collection, where)
        return self.once(shape, lambda: self._keyed_by(fetch.collection, column, self._totals(fetch, where))), values

    def aggregate(self, aggregate: Aggregate) -> tuple[Statement, Values]:
        """The groups and measures; behind them the parent they belong to."""
        values: Values = {}
        where = where_shape(aggregate.collection, aggregate.where, values, self._dialect)
        column = aggregate.match.column if aggregate.match else None
        shape = ("aggregate", column, aggregate.collection, aggregate.groups, aggregate.measures, where, aggregate.most)
        return self.once(shape, lambda: self._keyed_by(aggregate.collection, column, self._aggregate(aggregate, where))), values

    def native(self, call: NativeCall) -> tuple[Statement, Values]:
        """The query's own statement, with the conditions of the collections that the call is narrowed on."""
        values: Values = {}
        narrowings = tuple(
            [
                (collection, where_shape(collection, where, values, self._dialect, prefix_of(number)))
                for number, (collection, where) in enumerate(call.narrowings)
            ]
        )
        return self.once(("native", call.native, narrowings), lambda: self._native(call.native, narrowings)), values

    def lock(self, lock: Lock) -> tuple[Statement, Values]:
        """The rows of keys, in the order of the keys, which is that in which they are locked; behind them the key's place."""
        values: Values = {}
        collection = lock.collection
        where = where_shape(collection, lock.where, values, self._dialect)
        return self.once(
            ("lock", collection, where), lambda: self._keyed_by(collection, collection.key_name, self._lock(collection, where))
        ), values

    def upsert(self, upsert: Upsert) -> Statement:
        build = self._dialect.upsert
        return self.once(("upsert", upsert.collection), lambda: self._compile(build(self._table(upsert.collection), upsert.collection)))

    def delete(self, delete: Delete) -> Statement:
        build = self._dialect.delete
        return self.once(("delete", delete.collection), lambda: self._compile(build(self._table(delete.collection), delete.collection)))

    # ------------------------------------------------------------------------------------------------------- once a shape

    def once(self, shape: Shape, build: Callable[[], Statement]) -> Statement:
        """Return the statement of a shape, which is built where there is none yet."""
        statement = self._statements.get(shape)
        if statement is None:
            statement = build()
            self.compiled += 1
            self._statements.put(shape, statement, weight_of_text(statement.text) + weight_of_text(statement.plain))
        return statement

    def _keyed_by(self, collection: Collection, column: str | None, statement: Statement) -> Statement:
        return statement if column is None else replace(statement, match=keys_of(self._dialect, collection, column))

    def _table(self, collection: Collection) -> sa.Table:
        return table(collection, self._dialect.kind)

    def _compile(self, element: sa.ClauseElement, cells: Sequence[Cell] = (), keys: Named = "key") -> Statement:
        compiled = cast("sa.sql.compiler.SQLCompiler", element.compile(dialect=self._dialect.sqlalchemy))
        names = tuple(compiled.positiontup or ())
        if not isinstance(element, sa.Select):
            return Statement(str(compiled), names)
        return replace(self._statement(str(compiled), names, cells, len(element.selected_columns)), keys=keys)

    def _statement(self, text: str, names: tuple[str, ...], cells: Sequence[Cell], width: int) -> Statement:
        """Return a statement whose rows have ``width`` columns, the first of them as ``cells`` say."""
        plain = text
        decoders = tuple([(position, decode) for position, (decode, _) in enumerate(cells) if decode is not None])
        text, is_json = self._dialect.at_once(text, [*[in_json for _, in_json in cells], *["{0}"] * (width - len(cells))])
        return Statement(text, names, decoders, is_json=is_json, plain=plain)

    def _get(self, collection: Collection, columns: tuple[str, ...], by: str, where: Shape | None) -> Statement:
        source, keys = self._table(collection), keys_of(self._dialect, collection, by)

        def wanted(of: sa.FromClause) -> list[Expression]:
            return [condition_of(collection, of, where, self._dialect)] if where else []

        if not keys.is_one:
            return self._rows_by_keys(collection, keys, columns, None, wanted, lambda _: [])
        if keys.is_plain:
            shown = columns if by in columns else (*columns, by)
            query = sa.select(*self._shown(collection, source.c, shown)).select_from(source)
            cells = self._cells(collection, shown)
        else:
            parent, cell = self._parent(source, keys)
            query = sa.select(*self._shown(collection, source.c, columns), parent.label("parent")).select_from(source)
            cells = [*self._cells(collection, columns), cell]
        conditions = [keys.forms[0].one_of_keys(source.c[by]), *wanted(source)]
        return self._compile(query.where(*conditions), cells, "key" if keys.is_plain else "value")

    def _lock(self, collection: Collection, where: Shape | None) -> Statement:
        source, keys = self._table(collection), keys_of(self._dialect, collection, collection.key_name)
        sent, place, values = self._dialect.keys_table(keys.forms)
        condition = condition_of(collection, source, where, self._dialect)
        query = sa.select(*_labelled(source, collection.names)).where(*_are(source, keys, values), condition)
        row = query.offset(NO_OFFSET).with_for_update().lateral("locked")  # key by key, by the index, as in ``page_per_parent``
        shown = self._shown_page(collection, row.c, collection.names)
        return self._compile(
            sa.select(*shown, place).select_from(sent.join(row, sa.true())), self._cells(collection, collection.names), "place"
        )

    def _page(self, fetch: Fetch, where: Shape | None, bounds: Shape | None, edges: Shape | None = None) -> Statement:
        statement = self._rows(fetch, where, bounds, edges)
        if bounds is None:
            return statement
        senders = bound_senders(fetch.collection, total_order(fetch.collection, fetch.order), self._dialect)
        return replace(statement, senders=tuple([(place, senders[name]) for place, name in enumerate(statement.names) if name in senders]))

    def _rows(self, fetch: Fetch, where: Shape | None, bounds: Shape | None, edges: Shape | None) -> Statement:
        collection, columns, match = fetch.collection, fetch.columns, fetch.match
        source, order = self._table(collection), total_order(collection, fetch.order)
        backward = bounds is not None and bool(bounds[0])
        cells = self._cells(collection, columns)

        def wanted(of: sa.FromClause) -> list[Expression]:
            conditions = [condition_of(collection, of, where, self._dialect)] if where else []
            return conditions + ([between(collection, of, order, bounds, self._dialect)] if bounds else [])

        def ordering(of: sa.FromClause) -> list[Expression]:
            return order_of(collection, of, order, backward, self._dialect)

        if isinstance(match, Match):
            keys = keys_of(self._dialect, collection, match.column)
            if bounds is not None or not keys.is_one:
                return self._rows_by_keys(collection, keys, columns, None if bounds is None else _limit(), wanted, ordering)
            return self._rows_by_key(collection, keys, columns, wanted, ordering)
        if isinstance(match, Pairs):
            paired = self._paired(collection, match.column)
            return self._compile(self._rows_by_pair(collection, paired, lambda parent: parent, columns, bounds, wanted, ordering), cells)
        if isinstance(match, Ends):
            shown_as, decode, in_json = shown_parent(self._dialect, match)
            followed = ends_of(self._dialect, source, edges, self._table(match.edges), match, collection)
            rows = self._rows_by_pair(collection, followed, shown_as, columns, bounds, wanted, ordering)
            return self._compile(rows, [*cells, (decode, in_json)], self._named(match))
        if bounds is None:
            shown = self._shown(collection, source.c, columns)
            return self._compile(
                sa.select(*(shown or [sa.null()])).select_from(source).where(*wanted(source)).order_by(*ordering(source)), cells
            )
        # Shown outside, so that times are formatted for the rows of the page alone.
        query = sa.select(*(_labelled(source, columns) or [sa.null().label("nothing")])).where(*wanted(source)).order_by(*ordering(source))
        page = query.limit(_limit()).offset(NO_OFFSET).subquery("page")
        return self._compile(sa.select(*(self._shown_page(collection, page.c, columns) or [sa.null()])).select_from(page), cells)

    def _rows_by_keys(
        self,
        collection: Collection,
        keys: Keys,
        columns: Sequence[str],
        limit: sa.BindParameter[int] | None,
        wanted: Conditions,
        ordering: Conditions,
    ) -> Statement:
        """The rows of each key, up to a limit; behind them the key, or its place."""
        query = self._dialect.page_per_parent(
            self._table(collection),
            list(zip(keys.names, keys.forms, strict=True)),
            [(name, self._dialect.form(collection, name)) for name in columns],
            wanted,
            ordering,
            limit,
            is_plain=keys.is_plain,
            is_managed=collection.managed,
        )
        return self._compile(query, self._cells(collection, columns), "key" if keys.is_plain else "place")

    def _rows_by_key(
        self, collection: Collection, keys: Keys, columns: Sequence[str], wanted: Conditions, ordering: Conditions
    ) -> Statement:
        source, form = self._table(collection), keys.forms[0]
        parent, cell = self._parent(source, keys)
        query = sa.select(*self._shown(collection, source.c, columns), parent.label("parent"))
        found = form.one_of_keys(source.c[keys.names[0]])
        query = query.select_from(source).where(found, *wanted(source)).order_by(*ordering(source))
        return self._compile(query, [*self._cells(collection, columns), cell], "key" if keys.is_plain else "value")

    def _parent(self, source: sa.Table, keys: Keys) -> tuple[Expression, Cell]:
        """Return the key's value as a result, and how it comes."""
        column, form = source.c[keys.names[0]], keys.forms[0]
        return (form.shown(column), _AS_IT_IS) if keys.is_plain else (form.shown_key(form.grouped(column)), (form.decode_key, form.in_json))

    def _named(self, ends: Ends) -> Named:
        return "key" if keys_of(self._dialect, ends.edges, ends.parent).is_plain else "value"

    def _rows_by_pair(
        self,
        collection: Collection,
        paired: tuple[sa.FromClause, Expression],
        shown_as: Callable[[Expression], Expression],
        columns: Sequence[str],
        bounds: Shape | None,
        wanted: Conditions,
        ordering: Conditions,
    ) -> sa.Select[Any]:
        source = self._table(collection)
        joined, parent = paired
        if bounds is None:
            query = sa.select(*self._shown(collection, source.c, columns), shown_as(parent)).select_from(joined)
            return query.where(*wanted(source)).order_by(*ordering(source))
        number = sa.func.row_number().over(partition_by=parent, order_by=ordering(source)).label("number")
        query = sa.select(*_labelled(source, columns), parent, number).select_from(joined).where(*wanted(source))
        ranked = query.subquery("ranked")
        shown = self._shown_page(collection, ranked.c, columns)
        return sa.select(*shown, shown_as(ranked.c.parent)).where(ranked.c.number <= _limit()).order_by(ranked.c.number)

    def _paired(self, collection: Collection, by: str) -> tuple[sa.FromClause, Expression]:
        """Return a collection's table joined with the bound pairs, and the pairs' parents."""
        source, keys = self._table(collection), keys_of(self._dialect, collection, by)
        pairs, parent, values = self._dialect.pairs(keys.forms)
        return source.join(pairs, sa.and_(*_are(source, keys, values))), parent

    def _keyed(self, collection: Collection, by: str) -> tuple[sa.FromClause, Expression]:
        """Return a collection's table joined with the bound keys, and the keys' places."""
        source, keys = self._table(collection), keys_of(self._dialect, collection, by)
        sent, place, values = self._dialect.keys_table(keys.forms)
        return source.join(sent, sa.and_(*_are(source, keys, values))), place

    def _totals(self, fetch: Fetch, where: Shape | None, edges: Shape | None = None) -> Statement:
        collection, match = fetch.collection, fetch.match
        source = self._table(collection)
        condition = condition_of(collection, source, where, self._dialect)
        total = sa.func.count()
        if match is None:
            return self._compile(sa.select(sa.null(), total).select_from(source).where(condition))
        if isinstance(match, Pairs):
            joined, parent = self._paired(collection, match.column)
            return self._compile(sa.select(parent, total).select_from(joined).where(condition).group_by(parent))
        if isinstance(match, Ends):
            shown_as, decode, in_json = shown_parent(self._dialect, match)
            joined, parent = ends_of(self._dialect, source, edges, self._table(match.edges), match, collection)
            query = sa.select(shown_as(parent), total).select_from(joined).where(condition).group_by(parent)
            return self._compile(query, [(decode, in_json)], self._named(match))
        keys = keys_of(self._dialect, collection, match.column)
        if not keys.is_one:
            joined, place = self._keyed(collection, match.column)
            return self._compile(sa.select(place, total).select_from(joined).where(condition).group_by(place), (), "place")
        found = keys.forms[0].one_of_keys(source.c[match.column])
        parent, cell = self._parent(source, keys)
        grouped = keys.forms[0].grouped(source.c[match.column])
        query = sa.select(parent, total).select_from(source).where(found, condition).group_by(grouped)
        return self._compile(query, [cell], "key" if keys.is_plain else "value")

    def _aggregate(self, aggregate: Aggregate, where: Shape | None) -> Statement:
        collection, match, dialect = aggregate.collection, aggregate.match, self._dialect
        source = self._table(collection)
        grouped, shown, ordered, cells = [], [], [], []
        for group in aggregate.groups:
            by, result, order, cell = self._group(collection, source, group)
            grouped.append(by)
            shown.append(result)
            ordered.append(order)
            cells.append(cell)
        for part in parts(collection, aggregate.measures):
            result, cell = _measure(collection, source, part, dialect)
            shown.append(result)
            cells.append(cell)
        keys = keys_of(dialect, collection, match.column) if match else None
        named: Named = "key"
        parent: Expression = sa.null().label("parent")
        tables: sa.FromClause = source
        conditions = []
        by_parent: list[Expression] = []
        if keys is not None and match is not None:
            if keys.is_one:
                parent, cell = self._parent(source, keys)
                by_parent = [keys.forms[0].grouped(source.c[match.column])]
                cells.append(cell)
                conditions.append(keys.forms[0].one_of_keys(source.c[match.column]))
                named = "key" if keys.is_plain else "value"
            else:
                tables, parent = self._keyed(collection, match.column)
                by_parent = [parent]
                named = "place"
        query = sa.select(*(item.label(f"c{i}") for i, item in enumerate(shown)), parent).select_from(tables)
        query = query.where(*conditions, condition_of(collection, source, where, dialect))
        if by_parent or grouped:
            query = query.group_by(*by_parent, *grouped).order_by(*(sa.nulls_last(order.asc()) for order in ordered))
        else:
            query = query.having(sa.func.count() > sa.literal_column("0"))  # no row where nothing matched
        if aggregate.most is not None:
            query = query.limit(sa.literal_column(str(aggregate.most))).offset(NO_OFFSET)
        return self._compile(query, cells, named)

    def _group(self, collection: Collection, source: sa.Table, group: str | Bucket) -> tuple[Expression, Expression, Expression, Cell]:
        """Return what rows are grouped by, what is shown of it, what groups are ordered by, and how it comes."""
        name = group if isinstance(group, str) else group.column
        form, column = self._dialect.form(collection, name), source.c[name]
        cell = (form.decode, form.in_json)
        if isinstance(group, Bucket):
            start = self._dialect.bucket(column, group.interval, form)
            return start, form.shown(start), self._dialect.ordered_bucket(start, form), cell
        by = form.grouped(column)
        return by, form.shown_key(by), form.ordered(column, descending=True), (form.decode_key, form.in_json)

    def _native(self, native: Native, narrowings: Sequence[tuple[Collection, Shape | None]]) -> Statement:
        query = native.query(self._dialect.kind)

        def condition(number: int, aliases: Sequence[str]) -> str:
            collection, where = narrowings[number]
            if len(aliases) != 1:
                raise NarrowingRefused(native.name, collection.name, f"expected one alias of its table, got {', '.join(aliases)}")
            element = condition_of(collection, self._table(collection).alias(aliases[0]), where, self._dialect, prefix_of(number))
            return str(element.compile(dialect=self._dialect.by_name))

        query = filled(native, query, [collection for collection, _ in narrowings], condition)
        text, names = self._dialect.native_text(query)
        cells = [_AS_IT_IS, *map(self._dialect.native_form, native.columns)]
        return self._statement(text, names, cells, len(cells))

    def _shown(self, collection: Collection, columns: Any, names: Sequence[str]) -> list[Expression]:
        return [self._dialect.form(collection, name).shown(columns[name]).label(f"c{i}") for i, name in enumerate(names)]

    def _shown_page(self, collection: Collection, columns: Any, names: Sequence[str]) -> list[Expression]:
        """The same of columns that are labelled."""
        labels = zip(names, _labels(names), strict=True)
        return [self._dialect.form(collection, name).shown(columns[label]).label(label) for name, label in labels]

    def _cells(self, collection: Collection, names: Sequence[str]) -> list[Cell]:
        return [(form.decode, form.in_json) for form in [self._dialect.form(collection, name) for name in names]]


# ----------------------------------------------------------------------------------------------------------------- pieces


def _are(source: sa.Table, keys: Keys, values: Sequence[Expression]) -> list[Expression]:
    return [form.equals(source.c[name], value) for name, form, value in zip(keys.names, keys.forms, values, strict=True)]


def _measure(collection: Collection, source: sa.Table, part: Part, dialect: Dialect) -> tuple[Expression, Cell]:
    """Return a part of a measure as a result, and how it comes."""
    if part.function == "count":
        return sa.func.count(), _AS_IT_IS
    column, form = source.c[part.column], dialect.form(collection, part.column)
    match part.function:
        case "min" | "max":
            function = sa.func.min if part.function == "min" else sa.func.max
            return form.shown_least(function(form.least(column))), (form.decode_least, form.in_json)
        case "number":
            return sa.func.count(form.counted(column)), _AS_IT_IS
        case "high":
            return _whole_sum(form.whole(form.counted(column)).op(">>")(sa.literal_column("32"))), _AS_IT_IS
        case "low":
            return _whole_sum(form.whole(form.counted(column)).op("&")(sa.literal_column(str(HALF - 1)))), _AS_IT_IS
        case _ if part.type is Type.DECIMAL:
            return dialect.decimal_sum(column, form), _AS_IT_IS
        case _:
            return dialect.float_sum(form.counted(column)), (None, form.in_json)


def _whole_sum(of: Expression) -> Expression:
    return sa.cast(sa.func.sum(of), sa.BigInteger())


def _limit() -> sa.BindParameter[int]:
    return sa.bindparam("limit", type_=sa.BigInteger())


def _labels(columns: Sequence[str]) -> list[str]:
    return [f"c{position}" for position in range(len(columns))]


def _labelled(source: sa.FromClause, columns: Sequence[str]) -> list[Expression]:
    return [source.c[name].label(label) for name, label in zip(columns, _labels(columns), strict=True)]
