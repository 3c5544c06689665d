"""An operation as data: levels of places, each filled by one batch, and the views that its objects are built from. Nothing here runs.

Every place is a batch of rows with a layout of columns; its *views* are what the client selected of those rows (``nodes`` and
``edges { node }`` are two views of one place). A plan depends on the operation's text and on its ``@skip``/``@include`` variables alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from weakref import ReferenceType

from graphql import GraphQLOutputType, OperationType, get_nullable_type, is_list_type, is_non_null_type

from gateway.errors import CallerError, LimitExceeded
from gateway.stores.base import Collection, Column, Row

if TYPE_CHECKING:  # a place names its source, and sources make places
    from gateway.engine.code import Code
    from gateway.engine.sources.source import Bound, Source

Coerced = Mapping[str, Any]  # variables by name

Texts = tuple[tuple[int, int], ...]  # the slots of a place's texts, and how often each is written for a row
Sample = tuple["Place", Texts]


class Weight(NamedTuple):
    """What a row of a place weighs in an answer, but for its values: bytes of the keys of its fields; and its texts."""

    keys: int
    texts: Texts


NEVER = -1
ROOT = -1  # the index of the place of the root's only row; it is in no level


class Layout:
    """The columns of rows, in order. Slots are given out while a plan is made, and never move: columns come behind the others.

    Places whose rows come from one call share one, so that nobody has to pick its columns out of the others'. Keys of another type than
    text, and of several columns, are columns of a row that no store is asked for: they are made of those in ``asked``.
    """

    __slots__ = ("_made", "_of", "asked", "columns")

    def __init__(self, columns: Sequence[str] = (), *, of: str = "") -> None:
        self.columns = self.asked = tuple(columns)
        self._made: dict[str, tuple[Sequence[str], Callable[..., Any]]] = {}  # by name: of which columns, and how
        self._of = of  # whose columns these are, where there can be no others

    def need(self, column: str) -> int:
        """Return the slot of a column, asking for it where nobody did yet."""
        if column not in self.columns:
            if self._of:
                raise LookupError(f"{self._of}: {column!r} is none of its columns, {', '.join(self.columns)}")
            self.columns = (*self.columns, column)
            self.asked = (*self.asked, column)
        return self.columns.index(column)

    def make(self, name: str, of: Sequence[str], function: Callable[..., Any]) -> int:
        """Return the slot of what ``function`` makes of the values of columns, which are asked for."""
        for column in of:
            self.need(column)
        if name not in self._made:
            self._made[name] = of, function
            self.columns = (*self.columns, name)
        return self.columns.index(name)

    def completed(self) -> Callable[[Row], Row] | None:
        """Return the function from a row as a store gives it, and what stands behind it, to one of all columns; None where it is that."""
        if not self._made:
            return None
        names: dict[str, Any] = {}
        items: list[str] = []
        for place, name in enumerate(self.columns):
            of, function = self._made.get(name, ((name,), None))
            values = ", ".join(f"row[{self.asked.index(column)}]" for column in of)
            if function is not None:
                names[f"f{place}"] = function
                values = f"f{place}({values})"
            items.append(values)
        made: Callable[[Row], Row] = eval(f"lambda row: ({', '.join(items)}, *row[{len(self.asked)}:])", names)  # noqa: S307 - our own text
        return made

    def __len__(self) -> int:
        return len(self.columns)


# ---------------------------------------------------------------------------------------------------------------- fields


@dataclass(slots=True, eq=False)
class FieldPlan(ABC):
    """A response key of an object: which field of the schema it is, and where errors and nulls of it go.

    ``promised``: a null takes an error, whatever the type says (``@semanticNonNull``).
    """

    key: str
    parent_type: str
    name: str
    type: GraphQLOutputType
    at: tuple[int, ...]  # where it stands in the document: offsets of its text

    repeats: ClassVar[bool] = False  # its value is made once per row, under however many aliases it is asked

    @property
    def promised(self) -> bool:
        return False

    @property
    def text_slot(self) -> int | None:
        """The slot of a row's value that is written as it is; None where the value is made."""
        return None

    def dropping(self, source: Source) -> Dropping | None:  # noqa: ARG002
        """Return what leaves a row out that does not have this field, if it is the source's."""
        return None

    @abstractmethod
    def expression(self, code: Code, number: int) -> str:
        """Return the Python expression of its value, in a function that has a row's values as ``v0``, ``v1`` …"""


@dataclass(slots=True, eq=False)
class Constant(FieldPlan):
    """``__typename``."""

    value: str

    def expression(self, code: Code, number: int) -> str:  # noqa: ARG002
        return repr(self.value)


@dataclass(slots=True, eq=False)
class View:
    """What is selected of a place's rows, as objects of one type. The place holds its views, so a view only points at its place:
    a plan without circles is freed when its document is forgotten, not when the garbage collector comes."""

    _place: ReferenceType[Place]
    type_name: str
    number: int  # among the plan's views
    fields: list[FieldPlan] = field(default_factory=list)

    @property
    def place(self) -> Place:
        place = self._place()
        assert place is not None, "its plan holds it"
        return place

    @property
    def key(self) -> str:
        """The column that is the key of its rows, or several with commas between their names."""
        home = self.place.collection
        return "id" if home is None else home.key_name


# ---------------------------------------------------------------------------------------------------------------- places


@dataclass(slots=True, eq=False, weakref_slot=True)
class Place:
    """A spot of the query whose rows come from one source. Sources may have a sort of their own, with what only they know of it."""

    index: int
    level: int  # with which its rows are there; 0 for root fields
    path: tuple[str, ...]  # response keys from the root
    source: Source | None  # None: the root itself
    parent: int  # the index of the place that it is below; ROOT for root fields
    slot: int  # of the parent's rows: the key
    layout: Layout
    declared: Mapping[str, Column]  # the columns that the layout may name
    type: GraphQLOutputType | None = None
    views: list[View] = field(default_factory=list)
    drops: list[Dropping] = field(default_factory=list)  # fields without which a row is left out
    arguments: Callable[[Coerced], Mapping[str, Any]] | None = None  # where variables are in them
    below_objects: bool = False  # its keys are attributes of objects that code gave
    completes: Callable[[Row], Row] | None = None  # adds the keys that are made of a row's columns, where there are some

    @property
    def starts(self) -> int:
        """The round in which it first asks; NEVER where its rows come with those of another place."""
        rounds = 1 if self.source is None else self.source.rounds
        return self.level + 1 - rounds if rounds else NEVER

    def compile(self, *, is_careful: bool) -> Callable[..., Any] | None:  # noqa: ARG002
        """Return the function that makes of its objects what the field has; None where they are it."""
        return None

    @property
    def has_tail(self) -> bool:
        """Whether its rows have more than the layout's columns, behind them."""
        return False

    @property
    def is_required(self) -> bool:
        """Whether a null of its field takes an error, by its type or by the word of its source."""
        return is_non_null_type(self.type) or (self.source is not None and self.source.promised)

    @property
    def collection(self) -> Collection | None:
        return None if self.source is None else self.source.home

    @property
    def lists(self) -> bool:
        """Whether a parent has a list of these rows, not one of them."""
        return is_list_type(get_nullable_type(self.type)) if self.type is not None else True


@dataclass(frozen=True, slots=True)
class Dropping:
    """A field without which a row is left out: the place whose keys have to have what the row has in ``slot``."""

    place: Place
    slot: int

    @property
    def path(self) -> tuple[str, ...]:
        return self.place.path


@dataclass(slots=True)
class Cost:
    """How many objects an operation may have in all, and how many rows of each place of its plan may stand in its answer."""

    total: int
    rows: list[int]


@dataclass(slots=True, eq=False, kw_only=True)
class Plan:
    """An operation as levels of places. Nothing is added to it once it is made."""

    text: str  # of the document
    operation: OperationType
    root: View
    root_place: Place
    places: list[Place]  # parents before their children
    levels: list[list[Place]]  # by the round after which their rows are there
    starts: list[list[Place]]  # by the round in which they first ask
    bindings: list[Place]  # those whose arguments have variables
    bounds: list[Bound]  # of all places; those of ``bindings`` are bound for each request
    refused: list[tuple[Place, CallerError]]  # arguments that can never be bound
    noted: Sequence[LimitExceeded]  # limits that its constant arguments break where they are only measured
    keeps_nodes: bool  # something of it asks for the document's nodes when it runs
    introspected: list[Any]
    view_count: int
    width: int  # the most fields that an object of it has
    cost: Cost | None  # where it does not depend on the request
    weights: list[Weight]  # of all places
    samples: list[list[Sample]]  # by level: where texts are looked at
    unsized: list[list[Place]]  # by level: lists that may be longer than their cost says
    series: list[Plan] = field(default_factory=list)  # a mutation: a plan per root field, run one after the other
    is_unsized: bool = field(init=False)  # whether any list of it may be longer than its cost says

    def __post_init__(self) -> None:
        self.is_unsized = any(self.unsized)

    @property
    def parts(self) -> tuple[Plan, ...]:
        return (self, *self.series)
