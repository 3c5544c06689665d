"""Collections of each type of column: as keys, as values, in lists, and under other names in the database.

``SAMPLES`` has values of each type in their order; what a store must answer follows from their places in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.stores.base import Collection, Column, Index, Row, Type, Value
from gateway.stores.types import KeyForm

LEVELS = ("low", "mid", "high")

COLUMNS: dict[str, Column] = {
    "text": Column("v", Type.TEXT, nullable=True),
    "bool": Column("v", Type.BOOL, nullable=True),
    "int": Column("v", Type.INT, nullable=True),
    "int32": Column("v", Type.INT, nullable=True, bits=32),
    "float": Column("v", Type.FLOAT, nullable=True),
    "decimal": Column("v", Type.DECIMAL, nullable=True, scale=2),
    "time": Column("v", Type.TIME, nullable=True),
    "time0": Column("v", Type.TIME, nullable=True, precision=0),
    "time6": Column("v", Type.TIME, nullable=True, precision=6),
    "time9": Column("v", Type.TIME, nullable=True, precision=9),
    "date": Column("v", Type.DATE, nullable=True),
    "clock": Column("v", Type.CLOCK, nullable=True),
    "clock0": Column("v", Type.CLOCK, nullable=True, precision=0),
    "uuid": Column("v", Type.UUID, nullable=True),
    "object_id": Column("v", Type.OBJECT_ID, nullable=True),
    "bytes": Column("v", Type.BYTES, nullable=True),
    "enum": Column("v", Type.ENUM, nullable=True, values=LEVELS),
}

SAMPLES: dict[str, tuple[Value, ...]] = {
    "text": ("", " ", "%", ",", "A", "Z,%", "a", "é", "\U0001f600"),
    "bool": (False, True),
    "int": (-(2**63), -1, 0, 7, 42, 2**53 + 1, 2**63 - 1),
    "int32": (-(2**31), -1, 0, 7, 42, 2**31 - 1),
    "float": (-1e300, -1.5, 0.0, 0.1, 1.0, 2.5, 1e10, 1e300),
    "decimal": ("-10.50", "-0.01", "0.00", "0.10", "1.00", "9.99", "100.00", "12345678.90"),
    "time": ("0001-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z", "2024-02-29T12:00:00.120Z"),
    "time0": ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2024-02-29T12:00:00Z"),
    "time6": ("1969-12-31T23:59:59.999999Z", "2024-02-29T12:00:00.120000Z", "2024-02-29T12:00:00.120011Z", "2024-02-29T12:00:00.120022Z"),
    "time9": ("1969-12-31T23:59:59.999999999Z", "2024-02-29T12:00:00.120000001Z", "2024-02-29T12:00:00.120000002Z"),
    "date": ("0001-01-01", "1969-12-31", "1970-01-01", "2000-02-29", "9999-12-31"),
    "clock": ("00:00:00.000", "09:30:00.001", "23:59:59.999"),
    "clock0": ("00:00:00", "09:30:00", "23:59:59"),
    "uuid": (
        "00000000-0000-0000-0000-000000000000",
        "123e4567-e89b-12d3-a456-426614174000",
        "7fffffff-ffff-ffff-ffff-ffffffffffff",
        "80000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
    ),
    "object_id": ("000000000000000000000000", "507f1f77bcf86cd799439011", "80000000ffffffffffffffff", "ffffffffffffffffffffffff"),
    "bytes": ("", "AA==", "AP8=", "YQ==", "YWI=", "//8="),
    "enum": LEVELS,
}

# Times of more digits than a kind holds are refused when the graph is checked.
PRECISION = {"postgresql": 6, "mongodb": 3, "mongodb+motor": 3, "neo4j": 9, "sqlite": 9, "memory": 9}
NO_KEYS = ("bool",)  # of two rows at most

LISTED = ("text", "int", "float", "decimal", "time", "date", "uuid", "object_id", "enum", "bool")


def holds(kind: str, name: str) -> bool:
    """Whether a kind of store holds values of this sort."""
    column = COLUMNS[name]
    return column.type not in (Type.TIME, Type.CLOCK) or column.precision <= PRECISION[kind]


def values_of(name: str) -> Collection:
    """A collection with this type in a column that may be null, under an INT key; ``p`` are parents of that type's keys."""
    return Collection(
        f"values_{name}",
        "tested",
        (Column("id", Type.INT), COLUMNS[name]),
        label=f"Values{name.title()}",
        indexes=(Index(("v", "id")),),
        managed=True,
    )


def keyed_by(name: str) -> Collection:
    """A collection whose key is of this type; ``twin`` is another of that type, and unique, ``next`` a key of another row or none."""
    column = replace(COLUMNS[name], nullable=False)
    return Collection(
        f"keyed_{name}",
        "tested",
        (
            replace(column, name="key", refers="Thing"),
            replace(column, name="twin"),
            replace(COLUMNS[name], name="next"),
            Column("n", Type.INT),
        ),
        key=("key",),
        label=f"Keyed{name.title()}",
        indexes=(Index(("twin",), unique=True), Index(("next", "key"))),
        managed=True,
    )


def lists_of(name: str) -> Collection:
    column = replace(COLUMNS[name], name="items", many=True)
    return Collection(f"lists_{name}", "tested", (Column("id", Type.INT), column), label=f"Lists{name.title()}", managed=True)


def rows_of_values(name: str) -> list[tuple[int, Value]]:
    """Two rows of each sample, and two nulls; ids are in no order of theirs."""
    samples = SAMPLES[name]
    values: list[Value] = [*samples, *reversed(samples), None, None]
    return [((number * 7) % 1_000, value) for number, value in enumerate(values)]


def rows_by_key(name: str) -> list[tuple[Value, Value, Value, int]]:
    """A row of each sample; ``twin`` is the sample itself in the order backwards, ``next`` that behind it, null for the last two."""
    samples = SAMPLES[name]
    following: list[Value] = [*samples[1:-1], None, None] if len(samples) > 1 else [None]
    return [(value, samples[-1 - number], following[number], number) for number, value in enumerate(samples)]


def rows_of_lists(name: str) -> list[tuple[int, list[Value] | None]]:
    samples = list(SAMPLES[name])
    lists: list[list[Value] | None] = [[], None, samples, samples[:1], samples[-1:], [samples[0], samples[0]], samples[1:]]
    return list(enumerate(lists))


def key(name: str, value: Value) -> str:
    text = KeyForm([COLUMNS[name]]).text([value])
    assert text is not None
    return text


# Of three columns, with what has to be escaped in its parts.
lines = Collection(
    "typed_lines",
    "tested",
    (
        Column("order_id", Type.INT),
        Column("place", Type.UUID),
        Column("label", Type.TEXT),
        Column("next_label", Type.TEXT, nullable=True),
        Column("amount", Type.INT, nullable=True),
    ),
    key=("order_id", "place", "label"),
    label="TypedLine",
    indexes=(Index(("order_id", "label"), unique=False),),
    managed=True,
)
PLACES = SAMPLES["uuid"]
LINES: list[tuple[Any, ...]] = [
    (1, PLACES[0], "a", "b", 10),
    (1, PLACES[1], "a", "a,b", 20),
    (1, PLACES[1], "a,b", None, None),
    (2, PLACES[1], "%2C", "a", 40),
    (2, PLACES[1], "", "a", 50),
    (-3, PLACES[2], "100%", "", 60),
]


def line_key(row: Row) -> str:
    text = KeyForm(lines.columns[:3]).text(row[:3])
    assert text is not None
    return text


# What the database calls it otherwise, words that it has for itself among them.
renamed = Collection(
    "renamed",
    "tested",
    (
        Column("id", Type.INT, at="Nr"),
        Column("owner", Type.INT, at="group", nullable=True),
        Column("title", Type.TEXT, at="Title of it"),
        Column("made", Type.TIME, at="order", nullable=True),
    ),
    label="Renamed Thing",
    table="Select",
    indexes=(Index(("owner", "made", "id")), Index(("title",), unique=True)),
    managed=True,
)
RENAMED: list[tuple[Any, ...]] = [
    (3, 1, "c", "2024-01-03T00:00:00.000Z"),
    (1, 1, "a", None),
    (2, 1, "b", "2024-01-01T00:00:00.000Z"),
    (4, 2, "d", "2024-01-04T00:00:00.000Z"),
    (5, None, "e", None),
]
