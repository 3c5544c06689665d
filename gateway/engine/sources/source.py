"""What a way of getting data is: one object with a field's whole way through the phases.

    plan      what it needs of its parent's row, which columns it gives; a FieldPlan
    bind      coerced arguments to what its steps ask by; no I/O
    steps     a generator: yields requests, receives their answers, returns a Result matched by key
    out       the objects of its rows by what the parent's row has in the field's slot
    explain   its lines in a plan

A kind of source is a file here; the phases keep the order of things and know none of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.engine.results import Result
from gateway.often import made_often
from gateway.stores.base import Ability, Collection, Row

if TYPE_CHECKING:
    from graphql import FieldNode, GraphQLField

    from gateway.context import RequestContext
    from gateway.engine.complete import Building
    from gateway.engine.declared import Declared, Problem, Rows
    from gateway.engine.execute import Run
    from gateway.engine.plan import FieldPlan, Place, View
    from gateway.engine.planner import Planning
    from gateway.engine.values import Binder


@made_often
@dataclass(frozen=True, slots=True)
class Bound:
    """A field's arguments as its source wants them. ``key``: what a root field is asked by; there is no row above it to have it."""

    key: Any = None


NO_ARGUMENTS = Bound()


@dataclass(frozen=True, slots=True)
class Asked:
    """A field of a selection, as a source plans it: its response key, its definition, and where it stands."""

    key: str
    parent_type: str
    name: str
    definition: GraphQLField
    nodes: Sequence[FieldNode]
    at: tuple[int, ...]

    @property
    def common(self) -> tuple[str, str, str, Any, tuple[int, ...]]:
        """What every FieldPlan begins with."""
        return (self.key, self.parent_type, self.name, self.definition.type, self.at)


class Call:
    """What a step may ask instead of a store: a function that is awaited beside the level's requests.

    PERF: not abstract, since whether something is one is asked for each request of a level: 40 ns, and 350 of an abstract class.
    """

    __slots__ = ()

    async def run(self, ctx: RequestContext) -> Any:
        raise NotImplementedError


KEPT: Any = object()
"""What a root field has in the root's row is there already: another place put it there, or it needs nothing."""

Steps = Generator[Any, Any, Result]  # yields requests and Calls


class Source(ABC):
    """Where a field's data comes from. Frozen: one object serves every plan."""

    __slots__ = ()

    rounds: ClassVar[int] = 1  # in which it asks, one after the other; 0: another source gives its rows
    filters: ClassVar[bool] = False  # whether it has the argument where, over its home
    orders: ClassVar[bool] = False  # whether it has the argument order_by, too
    needs_column: ClassVar[bool] = True  # a row of it has to have a column, whatever is selected

    @property
    def leaves_out(self) -> bool:
        """Whether a row without it is left out of its list."""
        return False

    @property
    def home(self) -> Collection | None:
        """The collection that its rows are of."""
        return None

    @property
    def is_a_step(self) -> bool:
        """Whether it only leads from a connection to its edges, and so is no level of a query."""
        return False

    @property
    def promised(self) -> bool:
        """Whether a field of this source is null only together with an error, whatever its type says (``@semanticNonNull``)."""
        return False

    # ------------------------------------------------------------------------------------------------------------ check

    def check(self, field: Declared) -> Iterator[Problem]:
        """Give what is wrong with a field of this source, before anything is served."""
        yield from ()

    def demands(self, field: Declared) -> Iterable[tuple[Collection, frozenset[Ability]]]:
        """Give each collection that a field of this source asks for, with what the kind of its store has to be able to do.

        One that is asked by key alone needs nothing.
        """
        return ()

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        """Give the types of objects that the field has, with what their rows have."""
        return ()

    # ------------------------------------------------------------------------------------------------------------- plan

    @abstractmethod
    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan | None: ...

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        """Return the bound arguments; BadUserInput and LimitExceeded name the argument."""
        return NO_ARGUMENTS

    # ------------------------------------------------------------------------------------------------------------- cost

    @property
    def has_size(self) -> bool:
        """Whether an argument says how many rows a parent has."""
        return False

    def size(self, place: Place, bounds: Sequence[Bound], page_default: int) -> int:
        """Return how many rows one parent may have."""
        return 1

    def is_unsized(self, place: Place) -> bool:
        """Return whether a store may give more rows of a place than ``size`` says."""
        return False

    # ---------------------------------------------------------------------------------------------------------- execute

    def keys_at_root(self, bound: Bound) -> Any:
        """Return what stands in the root's row for a root field."""
        return bound.key

    def steps(self, place: Place, run: Run) -> Steps:
        raise NotImplementedError(f"{type(self).__name__} asks nobody, for {'.'.join(place.path)}")

    def keys_in(self, place: Place, rows: Sequence[Row]) -> Iterable[Any]:
        """Give what each row of the parent's has as its key: by which its part of ``parts`` is known."""
        return map(itemgetter(place.slot), rows)

    def parts(self, result: Result) -> Iterable[tuple[Any, Sequence[Row]]]:
        """Give the rows of each key, in the order of ``result.rows``."""
        return zip(result.keys, ((row,) for row in result.rows), strict=True)

    def longest(self, place: Place, above: Sequence[Row], result: Result) -> int:
        """Return how many rows that parent, of those ``above``, has which has the most: of a place that ``is_unsized``."""
        return result.longest or max(map(len, result.groups.values()), default=1)

    # ------------------------------------------------------------------------------------------------------------ build

    def out(self, place: Place, building: Building) -> Any:
        """Return a place's objects by key, as its FieldPlan's expression takes them; None where nobody does."""
        return None

    # ---------------------------------------------------------------------------------------------------------- explain

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        """Give the batches of a place, each with the round in which it is asked."""
        yield place.level, self.line(place, type(self).__name__)

    def line(
        self,
        place: Place,
        kind: str,
        *,
        by: str | None = None,
        of: Collection | None = None,
        columns: Sequence[str] = (),
        drops: bool = True,
        arguments: str | None = None,
        **notes: Any,
    ) -> dict[str, Any]:
        """Return what is said of one batch; notes that are None are not."""
        collection = of or self.home
        line: dict[str, Any] = {
            "path": ".".join(place.path),
            "kind": kind,
            "store": None if collection is None else collection.store,
            "collection": None if collection is None else collection.name,
            "function": notes.pop("function", None),
            "by": by,
            "columns": list(columns) or [name for name in place.layout.columns if "#" not in name],
            **notes,
            "leftOutWithout": [".".join(child.path) for child in place.drops] or None if drops else None,
            "arguments": arguments or ("constant" if place.arguments is None else "by request"),
        }
        return {name: value for name, value in line.items() if value is not None}


SOURCE = "gateway.source"  # the key in a field's metadata


def source_in(definition: GraphQLField) -> Source | None:
    """Return the source that a field declares; None where it declares none."""
    strawberry_field = definition.extensions.get("strawberry-definition")
    found = definition.extensions.get(SOURCE) if strawberry_field is None else strawberry_field.metadata.get(SOURCE)
    return found if isinstance(found, Source) else None
