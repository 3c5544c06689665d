"""Fields at the root of mutations: a function of the author's, in a transaction, and the objects of what it has written (``written.py``).

What is selected of a row comes from the write itself; everything below it is planned and batched as in any read.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any

from graphql import get_named_type, is_abstract_type, is_input_object_type, is_leaf_type

from gateway.engine.declared import Rows
from gateway.engine.inputs import Reader, Reference, inputs_in, problems_of_arguments
from gateway.engine.plan import FieldPlan, Place
from gateway.engine.results import is_row
from gateway.engine.sources.key import rows_of
from gateway.engine.sources.objects import ObjectLayout, ObjectPlace, RowChild, leaf_of, taken
from gateway.engine.sources.source import Asked, Bound, Call, Steps
from gateway.engine.sources.written import ASSUMED_SIZE, OfWritten, as_object
from gateway.errors import BadUserInput, CallerError, Conflict, InFlight, NotFound
from gateway.stores.base import Ability, Collection, Get, UniqueKeys
from gateway.stores.requests.request import TRANSACT
from gateway.stores.types import KeyForm
from gateway.writes.idempotency import OtherArguments
from gateway.writes.rows import Outcome
from gateway.writes.running import run
from gateway.writes.transaction import Transaction

if TYPE_CHECKING:
    from gateway.context import RequestContext
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.execute import Run
    from gateway.engine.names import Arguments
    from gateway.engine.plan import View
    from gateway.engine.planner import Planning
    from gateway.engine.values import Binder

MutationFunction = Callable[..., Awaitable[Any]]

TRANSACTION, FOUND = "tx", "found"  # parameters of a function that are no arguments of the field
KEY_HEADER = "Idempotency-Key"  # the argument of errors about it


@dataclass(frozen=True, slots=True)
class BoundMutation(Bound):
    arguments: Mapping[str, Any] = field(default_factory=dict)  # as the function has them
    given: Mapping[str, Any] = field(default_factory=dict)  # as the client gave them: what a retry has to be equal in
    names: Arguments | None = None


@dataclass(frozen=True, slots=True)
class Mutation(OfWritten):
    """``function(ctx, tx, **arguments)``, or ``function(ctx, **arguments)``, which opens transactions itself: what it returns is written.

    With a ``collection`` that is a row of it, all columns by name, or a list of rows where the field is a list; for an ID its key, or the
    row. Without one it is a leaf's value, or an object whose fields have sources of their own, ``Written`` among them.
    ``writes`` are the collections that it may change; ``tx`` is a transaction of the store of the first. ``references`` are the types that
    arguments of type ID are of, by Python's name.
    ``before(ctx, **arguments)`` runs before the transaction, for what other stores know: a CallerError of it refuses the mutation, what
    else it returns is the argument ``found`` of the function. ``again(ctx, outcomes, **arguments)`` returns what the function had, for a
    request that is repeated under its idempotency key; without it these are the rows of ``collection`` that were written.
    """

    function: MutationFunction
    collection: Collection | None = None
    writes: tuple[Collection, ...] = ()
    references: Mapping[str, Reference] = field(default_factory=dict, hash=False)
    semantic_non_null: bool = True
    before: MutationFunction | None = None
    again: MutationFunction | None = None
    does: str = ""  # insert, update, delete or upsert, of one row of ``collection``; "" of a function of the author's

    @property
    def home(self) -> Collection | None:
        return self.collection

    @property
    def name(self) -> str:
        return _name(self.function)

    @property
    def promised(self) -> bool:
        return self.semantic_non_null

    @property
    def takes_transaction(self) -> bool:
        return TRANSACTION in signature(self.function).parameters

    # ------------------------------------------------------------------------------------------------------------ check

    def check(self, field: Declared) -> Iterator[Problem]:
        if not field.rows.is_mutation:
            instead = "the root of queries" if field.rows.is_root else field.rows.of
            yield field.problem("a field of the root of mutations, as it writes", f"mutation() at {instead}")
        yield from self._check_function(field)
        if not self.writes:
            yield field.problem("the collections that it writes (writes=…)", "none")
        for collection in dict.fromkeys((*self.writes, *(() if self.collection is None else (self.collection,)))):
            yield from field.of_collection(collection)
        if is_leaf_type(field.named):
            if self.collection is not None and (field.named.name != "ID" or self.collection.type_name is None):
                expected = f"a type of {self.collection.name}, an ID of it, or no collection"
                yield field.problem(expected, field.shape)
        elif self.collection is not None:
            yield from field.of_objects(self.collection, many=field.is_list)
            if is_abstract_type(field.named):
                yield field.problem("an object, as its rows are of one collection", field.shape)
        else:
            yield from field.of_objects(None, many=field.is_list)
        yield from problems_of_arguments(field, self.references)

    def _check_function(self, field: Declared) -> Iterator[Problem]:
        given = f"the function {self.name}"
        if not iscoroutinefunction(self.function):
            yield field.problem("an async function", f"{given}, which is none")
        parameters = list(signature(self.function).parameters.values())
        stars: dict[Any, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
        names = ", ".join(f"{stars.get(p.kind, '')}{p.name}" for p in parameters) or "none"
        if not parameters or parameters[0].kind is Parameter.KEYWORD_ONLY:
            yield field.problem("a function of (ctx, …)", f"{given} of ({names})")
        odd = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD, Parameter.POSITIONAL_ONLY)
        if any(p.kind in odd for p in parameters[1:]):
            yield field.problem("a function whose arguments have names", f"{given} of ({names})")
        if self.before is not None and FOUND not in signature(self.function).parameters:
            yield field.problem(f"a function that takes what {_name(self.before)} found ({FOUND})", f"{given} of ({names})")
        for other in (self.before, self.again):
            if other is not None and not iscoroutinefunction(other):
                yield field.problem("an async function", f"the function {_name(other)}, which is none")
            if other is not None and not self.takes_transaction:
                yield field.problem(f"a function of (ctx, {TRANSACTION}, …) to run {_name(other)} beside", f"{given} of ({names})")
        for name in self.references:
            if field.argument(name) is None:
                yield field.problem(f"refers of the function's arguments ({names})", repr(name))

    def demands(self, field: Declared) -> Iterable[tuple[Collection, frozenset[Ability]]]:
        return [(collection, TRANSACT) for collection in self.writes]

    def rows_below(self, field: Declared) -> Iterable[tuple[Any, Rows]]:
        if is_leaf_type(field.named):
            return
        yield field.named, Rows(f"what {self.name} gives", None) if self.collection is None else rows_of(self.collection)

    # ------------------------------------------------------------------------------------------------------------- plan

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        leaf = leaf_of(asked)
        if leaf is None and self.collection is None:
            objects = planning.place_of(ObjectPlace, view, asked, self, slot=0, layout=ObjectLayout())
            planning.arguments(objects, asked)
            objects.select(planning, asked)
            return RowChild(*asked.common, objects, objects.slot)
        declared = {} if leaf is not None or self.collection is None else self.collection.declared
        place = planning.place(view, asked, self, slot=0, declared=declared)
        planning.arguments(place, asked)
        planning.objects(place, asked)
        return RowChild(*asked.common, place, place.slot, leaf)

    def bind(self, binder: Binder, arguments: Mapping[str, Any]) -> Bound:
        names = binder.names(self)
        reader = Reader(binder)
        given: dict[str, Any] = {}
        for name, value in arguments.items():
            python = names.python[name]
            given[python] = reader.value(name, names.types[name], value, self.references.get(python))
        return BoundMutation(arguments=given, given=arguments, names=names)

    # ------------------------------------------------------------------------------------------------------------- cost

    def size(self, place: Place, bounds: Sequence[Any], page_default: int) -> int:
        if not place.lists:
            return 1
        lists = [value for value in bounds[place.index].given.values() if isinstance(value, list)]
        return len(lists[0]) if lists else ASSUMED_SIZE

    @property
    def has_size(self) -> bool:
        return True

    # ---------------------------------------------------------------------------------------------------------- execute

    def steps(self, place: Place, run: Run) -> Steps:
        (row,) = run.rows_above(place)
        answer = yield _Call(self, place.path[-1], run.bound(place), lists=place.lists)
        return taken(place, run, {id(row): self._value(place, answer)})

    def _value(self, place: Place, answer: Any) -> Any:
        if not place.views:
            return answer if self.collection is None else self._ids(self.collection, answer)
        if isinstance(place, ObjectPlace):
            return [as_object(item) for item in answer] if place.lists and isinstance(answer, (list, tuple)) else as_object(answer)
        assert self.collection is not None
        return self.rows(place, self.collection, answer)

    def _ids(self, collection: Collection, answer: Any) -> Any:
        if isinstance(answer, (list, tuple)):
            return [self._ids(collection, item) for item in answer]
        if isinstance(answer, Mapping):
            answer = KeyForm(collection.columns_of(collection.key_name)).text([answer[name] for name in collection.key])
        return f"{collection.type_name}:{answer}" if is_row(answer) else answer

    async def written_before(self, ctx: RequestContext, outcomes: Sequence[Outcome]) -> list[Any]:
        """Return the rows that an earlier request wrote, as they are now; for an ID their keys. NotFound where one is gone since."""
        collection = self.collection
        if collection is None:
            raise BadUserInput(f"{KEY_HEADER}: expected a field that can be asked again, {self.name} cannot", argument=KEY_HEADER)
        its = [outcome for outcome in outcomes if outcome.noun == collection.name]
        keys = [outcome.key for outcome in its if outcome.action != "delete"]
        found = await ctx.ask(Get(collection, collection.names, UniqueKeys(dict.fromkeys(keys)), collection.key_name)) if keys else {}
        values: list[Any] = []
        for outcome in its:
            if outcome.action == "delete":
                values.append(outcome.key)
            elif outcome.key not in found:
                raise NotFound(f"What was written under this key, {collection.type_name}:{outcome.key}, is gone since.")
            else:
                values.append(dict(zip(collection.names, found[outcome.key], strict=True)))
        return values

    def explain(self, place: Place) -> Iterable[tuple[int, dict[str, Any]]]:
        yield place.level, self.line(place, "mutation", function=self.name)


# --------------------------------------------------------------------------------------------------------------- running


class _Call(Call):
    """One mutation. Each time that its function runs it has arguments of its own: it may change them, and a plan keeps them for others."""

    __slots__ = ("_bound", "_key", "_lists", "_source")

    def __init__(self, source: Mutation, key: str, bound: BoundMutation, *, lists: bool) -> None:
        self._source, self._key, self._bound, self._lists = source, key, bound, lists

    async def run(self, ctx: RequestContext) -> Any:
        commits = len(ctx.committed)
        is_done = False
        try:
            answer = await (self._in_transaction(ctx) if self._source.takes_transaction else self._by_itself(ctx))
            is_done = True
        except CallerError as exc:
            # About its idempotency key: there is one root field, so that all of the request is refused.
            if isinstance(exc, (InFlight, OtherArguments)) or exc.extensions.get("argument") == KEY_HEADER:
                ctx.refused = exc
            raise
        finally:
            if is_done or len(ctx.committed) > commits:
                ctx.written.append(self._key)
            ctx.forget_reads()  # what is below sees the write
        return answer

    @property
    def _arguments(self) -> dict[str, Any]:
        return copy.deepcopy(dict(self._bound.arguments))

    @property
    def _field(self) -> str:
        assert self._bound.names is not None
        return self._bound.names.field.rpartition(".")[2]

    def _name_field(self, error: Conflict) -> None:
        """Have the error of a value that is taken name the field of the input that has it."""
        columns = [c[name] for c in self._source.writes if c.name == error.collection for name in error.columns if name in c.declared]
        names = self._bound.names
        assert names is not None
        inputs = [named for type_ in names.types.values() if is_input_object_type(named := get_named_type(type_))]
        found = [name for named in inputs for name, its in inputs_in(named).items() if any(its.column is column for column in columns)]
        if found and "field" not in error.extensions:
            error.extensions["field"] = ", ".join(dict.fromkeys(found))

    async def _by_itself(self, ctx: RequestContext) -> Any:
        if ctx.idempotency_key is not None:
            told = f"expected a mutation that keeps its outcome, and {self._field} keeps none"
            raise BadUserInput(f"{KEY_HEADER}: {told}", argument=KEY_HEADER)
        return await self._source.function(ctx, **self._arguments)

    async def _in_transaction(self, ctx: RequestContext) -> Any:
        source = self._source
        found: Any = None
        if source.before is not None:
            try:
                found = await source.before(ctx, **self._arguments)
            except CallerError as exc:  # of which the audit is told, and a retry has it again
                found = exc

        async def work(tx: Transaction) -> Any:
            if isinstance(found, CallerError):
                raise found
            told = {} if source.before is None else {FOUND: found}
            try:
                return await source.function(ctx, **{TRANSACTION: tx}, **told, **self._arguments)
            except Conflict as exc:
                self._name_field(exc)
                raise

        ran = await run(ctx, source.writes[0].store, self._field, work, arguments=self._bound.given)
        if not ran.is_repeated:
            return ran.value
        if source.again is not None:
            return await source.again(ctx, ran.outcomes, **self._arguments)
        rows = await source.written_before(ctx, ran.outcomes)
        return rows if self._lists else rows[0] if rows else None


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
