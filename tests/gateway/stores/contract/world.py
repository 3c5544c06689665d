"""The rows that the contract is tried on: a collection with a column of every type, with nulls and without, and one of edges.

Rows are dictionaries by column here, and what a store must answer is worked out from them by plain loops: see ``oracle.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.stores.base import Collection, Column, Index, Relationship, Type, Value

Record = dict[str, Value]

_COLUMNS = (
    Column("id", refers="Thing"),
    Column("parent_id", nullable=True, refers="Thing"),
    Column("code"),
    Column("name"),
    Column("note", nullable=True),
    Column("done", Type.BOOL),
    Column("maybe", Type.BOOL, nullable=True),
    Column("size", Type.INT),
    Column("score", Type.INT, nullable=True),
    Column("weight", Type.FLOAT),
    Column("ratio", Type.FLOAT, nullable=True),
    Column("made_at", Type.TIME),
    Column("seen_at", Type.TIME, nullable=True),
    Column("born", Type.DATE),
    Column("due", Type.DATE, nullable=True),
    Column("data", Type.JSON),
    Column("extra", Type.JSON, nullable=True),
    Column("tags", Type.TEXTS),
    Column("labels", Type.TEXTS, nullable=True),
)

things = Collection(
    name="things",
    store="tested",
    label="ThingRecord",
    columns=_COLUMNS,
    indexes=(Index(("code",), unique=True), Index(("parent_id", "id")), Index(("parent_id", "made_at", "id")), Index(("made_at", "id"))),
)

# What tests write to. The same columns; empty before and after each test. It is managed, and ``things`` are not: statements may differ.
drafts = replace(things, name="drafts", label="DraftRecord", managed=True)

links = Collection(
    name="links",
    store="tested",
    columns=(
        Column("source_id", refers="Thing"),
        Column("target_id", refers="Thing"),
        Column("since", Type.TIME),
        Column("strength", Type.INT, nullable=True),
        Column("remark", nullable=True),
        Column("mutual", Type.BOOL),
    ),
    key=("source_id", "target_id"),
    indexes=(Index(("target_id", "source_id")),),
    relationship=Relationship("LINKS_TO", start="Person", start_column="source_id", end="Person", end_column="target_id"),
    managed=True,
)

# Edges that tests write: the key is the other way round, as ``wrote`` has it, and the ends have different labels.
pins = Collection(
    name="pins",
    store="tested",
    columns=(Column("board_id", refers="Board"), Column("thing_id", refers="Thing"), Column("place", Type.INT, nullable=True)),
    key=("thing_id", "board_id"),
    indexes=(Index(("board_id", "thing_id")),),
    relationship=Relationship("PINNED", start="Board", start_column="board_id", end="Card", end_column="thing_id"),
    managed=True,
)

# Edges with a key of their own, between nodes of one label: there may be several between the same two.
rides = Collection(
    name="rides",
    store="tested",
    columns=(
        Column("id"),
        Column("from_id", refers="Stop"),
        Column("to_id", refers="Stop"),
        Column("at", Type.TIME, nullable=True),
        Column("price", Type.DECIMAL, nullable=True, scale=2),
    ),
    indexes=(Index(("from_id", "id")), Index(("to_id", "id"))),
    relationship=Relationship("RIDES_TO", start="Stop", start_column="from_id", end="Stop", end_column="to_id"),
    managed=True,
)

# Edges between nodes of one label, one each way.
fans = Collection(
    name="fans",
    store="tested",
    columns=(Column("who", refers="Fan"), Column("whom", refers="Fan"), Column("since", Type.INT, nullable=True)),
    key=("who", "whom"),
    indexes=(Index(("whom", "who")),),
    relationship=Relationship("FANS", start="Fan", start_column="who", end="Fan", end_column="whom"),
    managed=True,
)

# Unique values that a row need not have, one alone and two together.
badges = Collection(
    name="badges",
    store="tested",
    columns=(Column("id"), Column("number", Type.INT, nullable=True), Column("town", nullable=True), Column("street")),
    indexes=(Index(("number",), unique=True), Index(("town", "street"), unique=True)),
)

# Rows of a key alone.
words = Collection(name="words", store="tested", columns=(Column("id"),))


def record(id: str, **values: Any) -> Record:
    """A thing with this key, and with something in every column that is not nullable."""
    defaults: Record = {column.name: None for column in things.columns}
    defaults |= {
        "id": id,
        "code": f"code of {id}",
        "name": "thing",
        "done": False,
        "size": 0,
        "weight": 0.5,
        "made_at": "2020-01-01T00:00:00.000Z",
        "born": "2000-02-29",
        "data": {},
        "tags": [],
    }
    unknown = values.keys() - defaults.keys()
    assert not unknown, f"things have no column {unknown}"
    return defaults | values


# Texts in the order of their code points. Every wrong way to compare text gets at least one neighbour wrong: ignoring case, a
# language's collation, ignoring spaces or marks, UTF-16 units (U+FFFD comes before U+1F600), normalisation, LIKE, regular expressions.
TEXTS_IN_ORDER = (
    "",
    "\tTab",
    "\nNewline",
    " ",
    " a",
    "$a",
    "$where",
    "%",
    "'",
    "' OR '1'='1",
    "(a|b)",
    ".*",
    "10",
    "9",
    "A",
    "Ab",
    "B",
    "Z",
    "[a]",
    "\\",
    "\\d",
    "^a",
    "_",
    "a",
    "a\tb",
    "a\nb",
    "a ",
    "a b",
    'a"b',
    "a$b",
    "a%b",
    "a'b",
    "a.b",
    "a\\b",
    "a_b",
    "aa",
    "ab",
    "axb",
    "a\u0301",  # a with an acute accent in two code points (NFD)
    "b",
    "e\u0301t\u00e9",
    "z",
    "{a}",
    "{}",
    "~",
    "\u00c4",
    "\u00df",
    "\u00e1",  # the same letter in one code point (NFC)
    "\u00e4",
    "\u0130",
    "\u0131",
    "\u03c2",
    "\u03c3",
    "\u0663",
    "\u200b",
    "\u4e2d\u6587",
    "\ue000",
    "\uff41",
    "\ufffd",
    "\U00010000",
    "\U0001f469",
    "\U0001f469\u200d\U0001f680",
    "\U0001f600",
    "\U0001f600!",
)

# Keys are text, whatever they look like.
ODD_KEYS = (
    "0",
    "00",
    "1",
    "1.0",
    "1e3",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "123456789012345678901234567890",
    "-1",
    " lead",
    "trail ",
    "two words",
    "a:b",
    "a/b",
    "a\\b",
    "a.b",
    "a,b",
    "a;b",
    "a%b",
    "a_b",
    "a'b",
    'a"b',
    "a`b",
    "A",
    "a",
    "$id",
    "$$ROOT",
    ":keys",
    "{keys}",
    "{}",
    "[]",
    "null",
    "None",
    "true",
    "NaN",
    "line\nbreak",
    "'; DROP TABLE things; --",
    "\u00e1",
    "a\u0301",
    "\u4e2d",
    "\U0001f600",
    "\ufffd",
    "507f1f77bcf86cd799439011",
    "x" * 200,
)

# Three families. In "mother" values repeat, so that only the key breaks ties, and every nullable column has nulls.
_FAMILY = [
    record(
        f"m{i:02}",
        parent_id="mother",
        name=("b", "a", "B", "a", "\u00e4")[i % 5],
        note=(None, "x", "y", "x", None, "")[i % 6],
        done=i % 2 == 0,
        maybe=(None, True, False)[i % 3],
        size=(3, -1, 3, 2**40)[i % 4],
        score=(None, 5, -5, 5, 0, None, 2**62)[i % 7],
        weight=(0.1, 1.0, -2.5)[i % 3],
        ratio=(None, 0.25, 0.25, 1e300, -1e-300)[i % 5],
        made_at=f"2021-0{i % 3 + 1}-01T00:00:0{i % 2}.{i % 4:03}Z",
        seen_at=(None, "1969-12-31T23:59:59.999Z", "2024-02-29T12:00:00.500Z")[i % 3],
        born=("1900-01-01", "2000-02-29")[i % 2],
        due=(None, "0001-01-01", "9999-12-31")[i % 3],
        extra=(None, {"i": i}, [i])[i % 3],
        labels=(None, [], ["x"])[i % 3],
    )
    for i in range(24)
]

_SECOND_FAMILY = [record(f"f{i}", parent_id="father", name=f"n{i % 2}", note="x" if i % 2 else None, score=i, size=i) for i in range(6)]

_LONELY = [record("only", parent_id="aunt", name="lonely", maybe=True, seen_at="2020-06-15T10:30:00.123Z")]

_TEXTS = [record(f"t{i:02}", parent_id="texts", name=text, note=text, code=f"text {text}") for i, text in enumerate(TEXTS_IN_ORDER)]

_KEYS = [record(key, code=key, name="odd key", size=i) for i, key in enumerate(ODD_KEYS)]

# Orphans: children of parents with odd keys.
_ORPHANS = [record(f"child of {key}", parent_id=key, name="child") for key in ODD_KEYS[:40]]

THINGS = [*_FAMILY, *_SECOND_FAMILY, *_LONELY, *_TEXTS, *_KEYS, *_ORPHANS]
THING = {thing["id"]: thing for thing in THINGS}


def _link(source: str, target: str, number: int) -> Record:
    return {
        "source_id": source,
        "target_id": target,
        "since": f"2022-03-0{number % 5 + 1}T10:00:00.{number % 3:03}Z",
        "strength": (None, 2, 1, 2)[number % 4],
        "remark": (None, "a", "B")[number % 3],
        "mutual": number % 2 == 0,
    }


_PEOPLE = ["ann", "bob", "cy d", "d:e", "9007199254740993", "\U0001f600"]
LINKS = [
    _link(source, target, 7 * i + 3 * j)
    for i, source in enumerate(_PEOPLE)
    for j, target in enumerate(_PEOPLE)
    if (i * 5 + j * 3) % 4 != 0 or source == target == "bob"
]
