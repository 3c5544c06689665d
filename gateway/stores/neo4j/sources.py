"""Name what a collection is called in Cypher: its pattern, its columns, and their values on the way in and out.

Times are stored as native DATETIME, which people who use the database directly expect, and written as text by the server.
PERF: 1,000 rows: 5.1 ms without their time, 6.3 ms with epochMillis (to be formatted here, on the event loop), 7.8 ms with
``toString`` and the zeros that it leaves out (as below), 34 ms as the driver's DateTime.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.stores.base import Collection, Type


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


class Source:
    """How one collection is written in Cypher: its pattern, and what each of its columns is called there.

    ``variables`` are the node's, or those of a relationship's start, itself and its end.
    """

    def __init__(self, prefix: str, collection: Collection, variables: Sequence[str] = ()) -> None:
        self.collection = collection
        self.edge = collection.relationship
        self.variables = tuple(variables) or (("n",) if self.edge is None else ("s", "r", "e"))
        if self.edge is None:
            self.label = prefix + (collection.label or collection.name)
            self.pattern = f"({self.variables[0]}:{quoted(self.label)})"
            return
        if {*collection.key} != {self.edge.start_column, self.edge.end_column}:
            raise ValueError(
                f"collection {collection.name}: as a relationship its key must be {self.edge.start_column}, {self.edge.end_column}"
            )
        self.label = prefix + self.edge.type
        self.start_label, self.end_label = prefix + self.edge.start, prefix + self.edge.end
        s, r, e = self.variables
        self.pattern = f"({s}:{quoted(self.start_label)})-[{r}:{quoted(self.label)}]->({e}:{quoted(self.end_label)})"

    def ref(self, column: str) -> str:
        """The column in an expression; in the database's own type."""
        name = self.collection[column].name
        if self.edge is None:
            return f"{self.variables[0]}.{quoted(name)}"
        start, relationship, end = self.variables
        if name == self.edge.start_column:
            return f"{start}.id"
        return f"{end}.id" if name == self.edge.end_column else f"{relationship}.{quoted(name)}"

    def is_property(self, column: str) -> bool:
        """Whether the column is a property of the node or relationship itself, so that an index can hold it."""
        return self.edge is None or column not in (self.edge.start_column, self.edge.end_column)

    def wire(self, column: str) -> str:
        """The column as its wire value."""
        return self.wire_value(self.collection[column].type, self.ref(column))

    def wire_value(self, type_: Type, expression: str) -> str:
        """A value of that type as its wire value."""
        return wire_value(type_, expression)

    def wire_list(self, columns: Sequence[str]) -> str:
        return "[" + ", ".join(map(self.wire, columns)) + "]"


class CarefulSource(Source):
    """The same, for a collection that holds values of other types than its columns': these are given as they are."""

    def wire_value(self, type_: Type, expression: str) -> str:
        native = _NATIVE.get(type_)
        if native is None:
            return expression
        is_one = " OR ".join(f"{expression} IS :: {name}" for name in native)
        return f"CASE WHEN {is_one} THEN {wire_value(type_, expression)} ELSE {expression} END"


_NATIVE = {Type.TIME: ("ZONED DATETIME", "LOCAL DATETIME"), Type.DATE: ("DATE",)}


def wire_value(type_: Type, expression: str) -> str:
    if type_ is Type.TIME:
        # toString leaves zeros at the end out (…:42Z, …:42.1Z). With a nanosecond more there are always nine decimals.
        return f"left(toString({expression} + duration({{nanoseconds: 1}})), 23) + 'Z'"
    return f"toString({expression})" if type_ is Type.DATE else expression


def native_value(type_: Type, expression: str) -> str:
    """A bound wire value in the database's own type; null stays null."""
    if type_ is Type.TIME:
        return f"datetime({expression})"
    return f"date({expression})" if type_ is Type.DATE else expression
