"""Name what a collection is called in Cypher: its pattern, its columns, and their values on the way in and out.

Times are stored as native DATETIME, which people who use the database directly expect, and written as text by the server.
PERF: 1,000 rows: 5.1 ms without their time, 6.3 ms with epochMillis (to be formatted here, on the event loop), 7.8 ms with
``toString`` and the zeros that it leaves out (as below), 34 ms as the driver's DateTime.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.stores.base import Collection, Relationship, Type
from gateway.stores.neo4j.forms import Decode, Form, form_of
from gateway.stores.types import KeyForm

ELEMENT_ID = "elementId()"  # as a column's ``at``: the identity that the database itself gave the node or relationship

COLUMNS_KEPT = 1_000  # sets of columns that were asked of a collection


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


class Source:
    """How one collection is written in Cypher: its pattern, and what each of its columns is called there.

    ``variables`` are the node's, or those of a relationship's start, itself and its end.
    """

    is_careful = False

    def __init__(self, prefix: str, collection: Collection, variables: Sequence[str] = ()) -> None:
        self.collection = collection
        self.edge = collection.relationship
        self.variables = tuple(variables) or (("n",) if self.edge is None else ("s", "r", "e"))
        self.is_careful = self.is_careful or not collection.managed
        self.prefix = prefix
        self._forms: dict[str, Form] = {}
        self._decoders: dict[tuple[str, ...], list[tuple[int, Decode]]] = {}
        self._require_paths()
        if self.edge is None:
            self.label = prefix + (collection.label or collection.place)
            self.pattern = f"({self.variables[0]}:{quoted(self.label)})"
            return
        self.own_key = {*collection.key} != {self.edge.start_column, self.edge.end_column}
        if self.own_key and {*collection.key} & {self.edge.start_column, self.edge.end_column}:
            raise ValueError(
                f"collection {collection.name}: as a relationship its key must be {self.edge.start_column}, {self.edge.end_column},"
                f" or properties of its own, or {ELEMENT_ID}; got {', '.join(collection.key)}"
            )
        self.label = prefix + self.edge.type
        self.start_labels, self.end_labels = self._labels(self.edge.start), self._labels(self.edge.end)
        s, r, e = self.variables
        start, end = node(s, self.start_labels), node(e, self.end_labels)
        self.pattern = f"{start}-[{r}:{quoted(self.label)}]->{end}"

    def _require_paths(self) -> None:
        for column in self.collection.columns:
            if column.path.endswith("()") and (column.path != ELEMENT_ID or column.type.value != "text" or column.collation != "C"):
                raise ValueError(
                    f"collection {self.collection.name}: column {column.name}: expected a property, or {ELEMENT_ID} as a TEXT,"
                    f" got {column.path} as {column.type.upper()}"
                )

    def _labels(self, labels: str) -> tuple[str, ...]:
        return tuple([self.prefix + label for label in labels.split("|")]) if labels else ()

    @property
    def relationship(self) -> Relationship:
        assert self.edge is not None
        return self.edge

    def ref(self, column: str) -> str:
        """The column in an expression; in the database's own type."""
        name, path = self.collection[column].name, self.collection[column].path
        if self.edge is None:
            return _of(self.variables[0], path)
        start, relationship, end = self.variables
        if name == self.edge.start_column:
            return f"{start}.{plain(self.edge.start_property)}"
        return f"{end}.{plain(self.edge.end_property)}" if name == self.edge.end_column else _of(relationship, path)

    def path(self, column: str) -> str:
        """The name of the property that the column is."""
        if self.edge is not None and column == self.edge.start_column:
            return self.edge.start_property
        if self.edge is not None and column == self.edge.end_column:
            return self.edge.end_property
        return self.collection[column].path

    def is_property(self, column: str) -> bool:
        """Whether the column is a property of the node or relationship itself, so that an index can hold it."""
        if self.collection[column].path == ELEMENT_ID:
            return False
        return self.edge is None or column not in (self.edge.start_column, self.edge.end_column)

    def form(self, column: str) -> Form:
        """What the column's values are in Cypher. The database's own identities are of their type always."""
        form = self._forms.get(column)
        if form is None:
            declared = self.collection[column]
            form = self._forms[column] = form_of(declared, self.is_careful and declared.path != ELEMENT_ID)
        return form

    def may_be_null(self, column: str) -> bool:
        """Whether a row may have nothing there that could be compared."""
        return self.may_be_missing(column) or (self.is_careful and self.collection[column].path != ELEMENT_ID)

    def may_be_missing(self, column: str) -> bool:
        """Whether a row may have no such property. Without its key it is no row: nothing could tell it from others."""
        declared = self.collection[column]
        if declared.path == ELEMENT_ID or declared.name in self.collection.key:
            return False
        return declared.nullable or self.is_careful

    @property
    def is_row(self) -> list[str]:
        """What has to be said of a node or relationship for it to be a row."""
        if not self.is_careful:
            return []
        return [f"{self.ref(name)} IS NOT NULL" for name in self.collection.key if self.collection[name].path != ELEMENT_ID]

    def shown_list(self, columns: Sequence[str]) -> str:
        return "[" + ", ".join([self._shown(self.form(name), self.ref(name)) for name in columns]) + "]"

    def _shown(self, form: Form, ref: str) -> str:
        return form.shown(ref)

    def _decode(self, form: Form) -> Decode | None:
        return form.decode

    def decoders(self, columns: tuple[str, ...]) -> list[tuple[int, Decode]]:
        """The functions from what the driver gives to wire values, by the columns' places."""
        known = self._decoders.get(columns)
        if known is None:
            known = [(place, decode) for place, name in enumerate(columns) if (decode := self._decode(self.form(name))) is not None]
            if len(self._decoders) < COLUMNS_KEPT:
                self._decoders[columns] = known
        return known

    def key_form(self, column: str) -> KeyForm:
        return KeyForm(self.collection.columns_of(column))


class CarefulSource(Source):
    """The same, for a managed collection that holds values of other types than its columns' after all."""

    is_careful = True


class SteadySource(Source):
    """The same, for a statement that must not fail whatever values it meets, for all that was done before would be undone with it.

    PERF: a change of one row of 19 columns is planned in a fifth of the time that it takes with a CarefulSource (0.3 of 1.5 s on a server
    that has other things to do; once per shape).
    """

    def form(self, column: str) -> Form:
        declared = self.collection[column]
        if declared.many or declared.type is Type.BYTES or declared.collation != "C":  # what is compared by a function of the value
            return form_of(declared, declared.path != ELEMENT_ID)
        return super().form(column)

    def _shown(self, form: Form, ref: str) -> str:
        return self._steady(form).steady(ref)

    def _decode(self, form: Form) -> Decode | None:
        return self._steady(form).steady_decode

    def _steady(self, form: Form) -> Form:
        return form_of(form.column, form.is_careful and self.is_careful)


def _of(variable: str, path: str) -> str:
    return f"elementId({variable})" if path == ELEMENT_ID else f"{variable}.{quoted(path)}"


def plain(name: str) -> str:
    return name if name == "id" else quoted(name)


def node(variable: str, labels: Sequence[str]) -> str:
    return f"({variable}{':' if labels else ''}{'|'.join(map(quoted, labels))})"
