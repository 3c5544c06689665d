"""Changes of single rows in PostgreSQL: each is one statement, which tells what was there before it and what is there now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from gateway.stores.base import Advance, Bump, Changed, Claim, Collection, Insert, Key, Remove, Row, Together, Update, Value
from gateway.stores.sql.changes import Changes, Steps, Work, nothing, placed
from gateway.stores.sql.conditions import Shape, Values
from gateway.stores.sql.dialects import Expression
from gateway.stores.sql.postgresql_forms import PgForm
from gateway.stores.sql.postgresql_log import advance_text, bump_text, claim_text
from gateway.stores.sql.statements import Statement

FEW = 8  # rows of an insert that are sent value by value. PERF: a server takes 0.5 ms for three inserts of one row each so, 0.7 as lists


class PgChanges(Changes):
    # ---------------------------------------------------------------------------------------------------------- insert

    def insert(self, insert: Insert) -> Work[Sequence[Row]]:
        collection, columns = insert.collection, insert.columns
        few = _few(insert)
        statement = self._statements.once(("insert", collection, columns, few), lambda: self._insert(collection, columns, few))
        calls = self._dialect.written(collection, columns, insert.rows) if columns else [()] * len(insert.rows)
        bound = [statement.bind(_named(values, few)) for values in calls]
        width = len(collection.names)

        def steps() -> Steps[Sequence[Row]]:
            rows: list[Row] = []
            for values in bound:
                rows += statement.decode((yield statement.text, values))
            return [row[:width] for row in rows]

        return Work(steps(), is_one=len(bound) < 2)

    def _insert(self, collection: Collection, columns: Sequence[str], few: int) -> Statement:
        insert = self._inserting(collection, columns, few) if columns else postgresql.insert(self._table(collection))
        insert_and_show = insert.returning(*self._shown(collection, self._table(collection).c))
        return self._statement(insert_and_show, self._decoders_of(collection), column_keys=None if columns else ())

    def _inserting(self, collection: Collection, columns: Sequence[str], few: int, prefix: str = "") -> postgresql.Insert:
        """Return the insert of ``few`` rows, value by value, or of any number of them, one list for each column; in their order."""
        source = self._table(collection)
        if few:
            places = list(enumerate(columns))
            rows = [{source.c[name]: self._value(collection, name, f"{prefix}v{row}_{i}") for i, name in places} for row in range(few)]
            return postgresql.insert(source).values(rows)
        forms = [cast("PgForm", self._dialect.form(collection, name)) for name in columns]
        names = [f"v{i}" for i in range(len(columns))]
        arrays = [form.sent_items(f"{prefix}{name}") for form, name in zip(forms, names, strict=True)]
        sent = sa.func.unnest(*arrays).table_valued(*names, with_ordinality="place").render_derived("sent")
        items = [form.written(sent.c[name]) for form, name in zip(forms, names, strict=True)]
        query = sa.select(*items).select_from(sent).order_by(sent.c.place)
        return postgresql.insert(source).from_select([source.c[name] for name in columns], query)

    def together(self, together: Together) -> Work[None]:
        inserts = [insert for insert in together.inserts if insert.rows]
        if not inserts:
            return nothing(None)
        values: Values = {}
        for number, insert in enumerate(inserts):
            calls = self._dialect.written(insert.collection, insert.columns, insert.rows) if insert.columns else []
            if len(calls) != 1:
                return self._one_by_one(inserts)
            values.update(_named(calls[0], _few(insert), f"i{number}_"))
        parts = tuple([(insert.collection, insert.columns, _few(insert)) for insert in inserts])
        statement = self._statements.once(("together", parts), lambda: self._together(parts))
        bound = statement.bind(values)

        def steps() -> Steps[None]:
            yield statement.text, bound

        return Work(steps(), is_one=True)

    def _together(self, parts: Sequence[tuple[Collection, Sequence[str], int]]) -> Statement:
        *first, last = [self._inserting(*part, f"i{number}_") for number, part in enumerate(parts)]
        for number, insert in enumerate(first):
            last = last.add_cte(insert.cte(f"i{number}"))
        return self._statement(last)

    def _one_by_one(self, inserts: Sequence[Insert]) -> Work[None]:
        works = [self.insert(insert) for insert in inserts]

        def steps() -> Steps[None]:
            for work in works:
                yield from work.steps

        return Work(steps())

    # --------------------------------------------------------------------------------------------------- update, remove

    def change(self, change: Update | Remove) -> Work[Changed | None]:
        values: Values = {}
        found = self._one(change, values)
        if found is None:
            return nothing(None)
        collection, width = change.collection, len(change.collection.names)
        where, expected = found
        if isinstance(change, Update):
            names = tuple([name for name, _ in change.values])
            shape: Shape = ("update", collection, where, expected, names)
            statement = self._statements.once(shape, lambda: self._update(collection, where, expected, names))
            if names:
                [call] = self._dialect.written(collection, names, [[value for _, value in change.values]])
                values.update((f"v{i}", items[0]) for i, items in enumerate(call))
        else:
            statement = self._statements.once(("remove", collection, where, expected), lambda: self._remove(collection, where, expected))
        bound = statement.bind(values)

        def steps() -> Steps[Changed | None]:
            rows = statement.decode((yield statement.text, bound))
            if not rows:
                return None
            row = rows[0]
            is_done = bool(row[width])
            after = row[width + 1 :] if is_done and isinstance(change, Update) else None
            return Changed(tuple(row[:width]), None if after is None else tuple(after), is_done)

        return Work(steps(), is_one=True)

    def _before(self, collection: Collection, where: Shape | None, expected: Shape | None) -> sa.CTE:
        """Return the one row, as it is once nobody else writes it, and whether it is as expected."""
        source = self._table(collection)
        condition, is_met = self._conditions(collection, where, expected)
        columns = [source.c[name].label(name) for name in collection.names]
        return sa.select(*columns, is_met.label(_free("is_met", collection))).where(condition).with_for_update().cte("before")

    def _is_it(self, collection: Collection, before: sa.CTE) -> list[Expression]:
        source = self._table(collection)
        return [*(source.c[name] == before.c[name] for name in collection.key), before.c[_free("is_met", collection)]]

    def _update(self, collection: Collection, where: Shape | None, expected: Shape | None, names: Sequence[str]) -> Statement:
        source, before = self._table(collection), self._before(collection, where, expected)
        decoders = self._decoders_of(collection)
        if not names:
            query = sa.select(
                *self._shown(collection, before.c), before.c[_free("is_met", collection)], *self._shown(collection, before.c, "a")
            )
            return self._statement(query, [*decoders, None, *decoders])
        values = {source.c[name]: self._value(collection, name, f"v{i}") for i, name in enumerate(names)}
        columns = [source.c[name].label(name) for name in collection.names]
        done = sa.true().label(_free("is_done", collection))
        after = sa.update(source).values(values).where(*self._is_it(collection, before)).returning(*columns, done).cte("after")
        shown = [*self._shown(collection, before.c), after.c[done.name], *self._shown(collection, after.c, "a")]
        query = sa.select(*shown).select_from(before.outerjoin(after, sa.true()))
        return self._statement(query, [*decoders, None, *decoders])

    def _remove(self, collection: Collection, where: Shape | None, expected: Shape | None) -> Statement:
        before = self._before(collection, where, expected)
        gone = sa.delete(self._table(collection)).where(*self._is_it(collection, before)).returning(sa.true().label("is_done")).cte("gone")
        query = sa.select(*self._shown(collection, before.c), gone.c.is_done).select_from(before.outerjoin(gone, sa.true()))
        return self._statement(query, self._decoders_of(collection))

    def _value(self, collection: Collection, name: str, parameter: str) -> Expression:
        form = cast("PgForm", self._dialect.form(collection, name))
        return form.written(sa.cast(sa.bindparam(parameter, type_=form.sent), form.sent))

    # -------------------------------------------------------------------------------------------------------------- log

    def bump(self, bump: Bump) -> Work[dict[Key, int]]:
        text = self._statements.once(("bump", bump.collection), lambda: Statement(bump_text(self._table(bump.collection)))).text

        def steps() -> Steps[dict[Key, int]]:
            rows = yield text, (bump.noun, sorted(bump.keys), bump.is_deleted)
            return {row[0]: row[1] for row in rows}

        return Work(steps(), is_one=True) if bump.keys else nothing({})

    def advance(self, advance: Advance) -> Work[frozenset[Key]]:
        text = self._statements.once(("advance", advance.collection), lambda: Statement(advance_text(self._table(advance.collection)))).text
        items: list[Any] = list(zip(*sorted(advance.items), strict=True))

        def steps() -> Steps[frozenset[Key]]:
            rows = yield text, (advance.target, advance.noun, *items)
            return frozenset([row[0] for row in rows])

        return Work(steps(), is_one=True) if items else nothing(frozenset())

    def claim(self, claim: Claim) -> Work[Sequence[Row]]:
        collection = claim.collection
        statement = self._statements.once(("claim", collection), lambda: self._claim(collection))
        width = len(collection.names)

        def steps() -> Steps[Sequence[Row]]:
            rows = statement.decode((yield statement.text, (claim.target, claim.owner, claim.limit, claim.seconds)))
            return [row[:width] for row in rows]

        return Work(steps(), is_one=True)

    def _claim(self, collection: Collection) -> Statement:
        source = self._table(collection)
        claimed = source.alias("claimed")
        shown = [str(item.element.compile(dialect=self._dialect.sqlalchemy)) for item in cast("Any", self._shown(collection, claimed.c))]
        return Statement(claim_text(source, shown), decoders=placed(self._decoders_of(collection)))


def _free(name: str, collection: Collection) -> str:
    """Return a name that no column of the collection has."""
    while name in collection.declared:
        name += "_"
    return name


def _few(insert: Insert) -> int:
    """Return how many rows there are where they are few; 0 where the text is that of any number."""
    return len(insert.rows) if len(insert.rows) <= FEW else 0


def _named(columns: Sequence[Sequence[Value]], few: int, prefix: str = "") -> Values:
    """Return what is bound for rows that are sent column by column, by the names that ``_inserting`` has."""
    if few:
        return {f"{prefix}v{row}_{i}": value for i, column in enumerate(columns) for row, value in enumerate(column)}
    return {f"{prefix}v{i}": column for i, column in enumerate(columns)}
