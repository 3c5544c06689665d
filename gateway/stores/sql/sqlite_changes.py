"""Changes of single rows in SQLite: the row is read, written, and read again, by whoever holds the one writer, so that nobody is between.

What is answered is read after the write, as triggers may have changed more: SQLite's own RETURNING does not see what they did. A row is
found again by the values of its key as the file has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import sqlalchemy as sa

from gateway.stores.base import Advance, Bump, Changed, Claim, Collection, Insert, Key, Remove, Row, Together, Update, Value
from gateway.stores.sql.changes import Changes, Steps, Work, nothing, placed
from gateway.stores.sql.conditions import Shape, Values
from gateway.stores.sql.dialects import Expression, json_text
from gateway.stores.sql.sqlite_forms import DIALECT
from gateway.stores.sql.sqlite_log import advance_text, bump_text, claim_text, place_in
from gateway.stores.sql.statements import Statement

_PREPARER: Any = DIALECT.identifier_preparer


class SqliteChanges(Changes):
    # ---------------------------------------------------------------------------------------------------------- insert

    def insert(self, insert: Insert) -> Work[Sequence[Row]]:
        collection = insert.collection
        rows = self._rows_of(insert)
        written, read = self._inserting(collection, insert.columns), self._reading(collection)

        def steps() -> Steps[Sequence[Row]]:
            keys: list[Row] = []
            for values in rows:
                keys += yield written.text, values
            found: list[Row] = []
            for key in keys:
                found += yield read.text, key
            return list(map(tuple, read.decode(found)))

        return Work(steps())

    def together(self, together: Together) -> Work[None]:
        writes = [(self._inserting(insert.collection, insert.columns).text, self._rows_of(insert)) for insert in together.inserts]

        def steps() -> Steps[None]:
            for text, rows in writes:
                for values in rows:
                    yield text, values

        return Work(steps())

    def _rows_of(self, insert: Insert) -> Sequence[tuple[Value, ...]]:
        if not insert.columns or not insert.rows:
            return [()] * len(insert.rows)
        return self._dialect.written(insert.collection, insert.columns, insert.rows)

    def _inserting(self, collection: Collection, columns: Sequence[str]) -> Statement:
        def build() -> Statement:
            source = self._table(collection)
            given = ", ".join(_name(source, name) for name in columns)
            values = f"({given}) VALUES ({', '.join('?' * len(columns))})" if columns else "DEFAULT VALUES"
            return Statement(f"INSERT INTO {place_in(source)} {values} RETURNING {_key(collection, source)}")

        return self._statements.once(("insert", collection, tuple(columns)), build)

    def _reading(self, collection: Collection) -> Statement:
        """The row of a key as it is in the file, as it is shown."""

        def build() -> Statement:
            source = self._table(collection)
            shown = sa.select(*self._shown(collection, source.c)).select_from(source).compile(dialect=self._dialect.sqlalchemy)
            return Statement(f"{shown} WHERE {_is_it(collection, source)}", decoders=placed(self._decoders_of(collection)))

        return self._statements.once(("reading", collection), build)

    # --------------------------------------------------------------------------------------------------- update, remove

    def change(self, change: Update | Remove) -> Work[Changed | None]:
        values: Values = {}
        found = self._one(change, values)
        if found is None:
            return nothing(None)
        collection, width = change.collection, len(change.collection.names)
        where, expected = found
        finding = self._finding(collection, where, expected)
        bound = finding.bind(values)
        written = self._writing(change)
        new = self._new_values(change)

        def steps() -> Steps[Changed | None]:
            rows = yield finding.text, bound
            if not rows:
                return None
            [shown] = finding.decode(rows[:1])
            before, is_met, key = tuple(shown[:width]), rows[0][width], rows[0][width + 1 :]
            if not is_met:
                return Changed(before, None, is_done=False)
            if written is None:
                return Changed(before, before)
            keys = yield written, (*new, *key)
            if not keys:  # a trigger would not have it
                return Changed(before, None, is_done=False)
            if isinstance(change, Remove):
                return Changed(before, None)
            read = self._reading(collection)
            [after] = read.decode((yield read.text, keys[0]))
            return Changed(before, tuple(after))

        return Work(steps())

    def _finding(self, collection: Collection, where: Shape | None, expected: Shape | None) -> Statement:
        """The row, whether it is as expected, and its key as it is in the file."""

        def build() -> Statement:
            source = self._table(collection)
            condition, is_met = self._conditions(collection, where, expected)
            key: list[Expression] = [source.c[name].label(f"k{i}") for i, name in enumerate(collection.key)]
            query = sa.select(*self._shown(collection, source.c), is_met.label("is_met"), *key).where(condition)
            return self._statement(query, self._decoders_of(collection))

        return self._statements.once(("finding", collection, where, expected), build)

    def _writing(self, change: Update | Remove) -> str | None:
        """Return the text that changes the row; None where there is nothing to be changed."""
        collection = change.collection
        names = tuple([name for name, _ in change.values]) if isinstance(change, Update) else None
        if names == ():
            return None

        def build() -> Statement:
            source = self._table(collection)
            begin = f"DELETE FROM {place_in(source)}"  # noqa: S608 - our own text
            if names is not None:
                begin = f"UPDATE {place_in(source)} SET {', '.join(f'{_name(source, name)} = ?' for name in names)}"  # noqa: S608
            return Statement(f"{begin} WHERE {_is_it(collection, source)} RETURNING {_key(collection, source)}")

        return self._statements.once(("writing", collection, names), build).text

    def _new_values(self, change: Update | Remove) -> tuple[Value, ...]:
        if isinstance(change, Remove) or not change.values:
            return ()
        names, values = zip(*change.values, strict=True)
        [written] = self._dialect.written(change.collection, names, [values])
        return written

    # -------------------------------------------------------------------------------------------------------------- log

    def bump(self, bump: Bump) -> Work[dict[Key, int]]:
        text = self._statements.once(("bump", bump.collection), lambda: Statement(bump_text(self._table(bump.collection)))).text

        def steps() -> Steps[dict[Key, int]]:
            rows = yield text, (bump.noun, bump.is_deleted, json_text(list(bump.keys)))
            return {row[0]: row[1] for row in rows}

        return Work(steps(), is_one=True)

    def advance(self, advance: Advance) -> Work[frozenset[Key]]:
        text = self._statements.once(("advance", advance.collection), lambda: Statement(advance_text(self._table(advance.collection)))).text

        def steps() -> Steps[frozenset[Key]]:
            rows = yield text, (advance.target, advance.noun, json_text(list(map(list, advance.items))))
            return frozenset([row[0] for row in rows])

        return Work(steps(), is_one=True)

    def claim(self, claim: Claim) -> Work[Sequence[Row]]:
        collection = claim.collection
        statement = self._statements.once(("claim", collection), lambda: self._claim(collection))
        place = collection.names.index("outbox")
        later = f"+{claim.seconds:.3f} seconds"

        def steps() -> Steps[Sequence[Row]]:
            rows = statement.decode((yield statement.text, (claim.owner, later, claim.target, claim.limit)))
            return sorted(map(tuple, rows), key=lambda row: str(row[place]))

        return Work(steps(), is_one=True)

    def _claim(self, collection: Collection) -> Statement:
        source = self._table(collection)
        shown = [str(item.element.compile(dialect=DIALECT)) for item in cast("Any", self._shown(collection, source.c))]
        text = claim_text(source, shown, collection["next_at"].precision, collection["lease_until"].precision)
        return Statement(text, decoders=placed(self._decoders_of(collection)))


def _name(source: sa.Table, name: str) -> str:
    return str(_PREPARER.quote(source.c[name].name))


def _key(collection: Collection, source: sa.Table) -> str:
    return ", ".join(_name(source, name) for name in collection.key)


def _is_it(collection: Collection, source: sa.Table) -> str:
    return " AND ".join(f"{_name(source, name)} IS ?" for name in collection.key)
