"""Cut the rows of a fetch into parts that MongoDB has in order as they are, so that indexes serve each. Pure: no I/O.

MongoDB has an order for values of all types, with nulls first. Here a null comes last, and so does whatever is of no type of its column's.
So where a column may hold several sorts of values, those of each are a part of their own, of which so many rows are asked as the page
has; the gateway puts them together, by the columns' own order (``answers.in_order``). In the usual case all but one part are empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from gateway.stores.base import Fetch, Order, Type, Value, total_order
from gateway.stores.mongo.fields import EVERYTHING, Expression, Field, Form, Query, all_of, any_of, field_of

_ID = "_id"


@dataclass(frozen=True, slots=True)
class Part:
    """``computed`` are fields to sort by. The rows of late parts come behind those of all others; unusual ones have hardly any.

    ``subtypes`` are those of the Binaries that the part has of the order's UUIDs, None elsewhere: a server that compares Binaries
    without them gives rows of other parts, too.
    """

    query: Query
    computed: dict[str, Expression]
    sort: dict[str, int]
    is_late: bool
    is_usual: bool
    subtypes: tuple[int | None, ...] = ()


def is_in_parts(fetch: Fetch) -> bool:
    """Return whether the order needs parts: of others' documents always, of ours where MongoDB has another order for a column."""
    return not fetch.collection.managed or not all(
        field_of(fetch.collection, item.column).is_sorted_as_it_is for item in total_order(fetch.collection, fetch.order)
    )


def is_by_hand(fetch: Fetch) -> bool:
    """Return whether MongoDB cannot sort at all: a Binary comes behind every shorter one there."""
    fields = [field_of(fetch.collection, item.column) for item in total_order(fetch.collection, fetch.order)]
    return any(field.is_guarded and field.column.type is Type.BYTES for field in fields)


def parts(fetch: Fetch) -> list[Part]:
    """Return the parts of a fetch with a page that have rows between its cursors, without the conditions of the fetch itself."""
    order = total_order(fetch.collection, fetch.order)
    shares = [_shares(field_of(fetch.collection, item.column), item, place, fetch) for place, item in enumerate(order)]
    found = [_part(fetch, chosen) for chosen in product(*shares)]
    return [part for part in found if part is not None]


def _shares(field: Field, item: Order, place: int, fetch: Fetch) -> list[_Share]:
    if field.column.type is Type.ENUM:
        return [_Ranked(field, item, place)]
    # A key that breaks ties is looked at no closer than an index can: what is of no type of its own but among its values in MongoDB's
    # order has its place there.
    is_tie = place > 0 and item.column in fetch.collection.key and field.is_guarded
    known: list[_Share] = [_Known(field, item, form, is_tie) for form in field.forms]
    return [*known, _Odd(field, item, is_tie)] if field.is_guarded or field.column.nullable else known


def _part(fetch: Fetch, chosen: Sequence[_Share]) -> Part | None:
    assert fetch.page is not None
    queries = [share.query for share in chosen]
    for values, forward in ((fetch.page.after, True), (fetch.page.before, False)):
        if values is not None:
            between = _beyond(chosen, values, forward=forward)
            if between is None:
                return None
            queries.append(between)
    computed: dict[str, Expression] = {}
    sort: dict[str, int] = {}
    for share in chosen:
        computed |= share.computed
        sort |= share.sort(backward=fetch.page.backward)
    subtypes = tuple([share.subtype for share in chosen])
    told = subtypes if any(subtype is not None for subtype in subtypes) else ()
    is_usual = all(share.is_usual for share in chosen)
    return Part(all_of(queries), computed, sort or {_ID: 1}, is_late=isinstance(chosen[0], _Odd), is_usual=is_usual, subtypes=told)


def _beyond(chosen: Sequence[_Share], values: Sequence[Value], *, forward: bool) -> Query | None:
    """Return what matches a part's rows strictly behind the row with ``values`` (``forward``), or before it; None where there is none."""
    equal: list[Query] = []
    ways: list[Query] = []
    for share, value in zip(chosen, values, strict=True):
        past = share.past(value, forward=forward)
        if past is not None:
            ways.append(all_of([*equal, past]))
        same = share.same(value)
        if same is None:
            break
        equal.append(same)
    if not ways:
        return None
    if EVERYTHING in ways:
        return EVERYTHING
    # Says nothing new, but bounds an index of the order from one side, which $or does not.
    bound = chosen[0].bound(values[0], forward=forward) if len(ways) > 1 else EVERYTHING
    return all_of([bound, any_of(ways)])


class _Share:
    """What a part has of one column: ``query`` matches it."""

    query: Query = EVERYTHING
    subtype: int | None = None
    is_usual = True
    computed: dict[str, Expression] = {}  # noqa: RUF012 - never changed

    def sort(self, *, backward: bool) -> dict[str, int]:  # noqa: ARG002
        return {}

    def past(self, value: Value, *, forward: bool) -> Query | None:
        """Return what matches values behind (or before) that of a cursor; everything where all are, None where none is."""
        raise NotImplementedError

    def same(self, value: Value) -> Query | None:
        raise NotImplementedError

    def bound(self, value: Value, *, forward: bool) -> Query:  # noqa: ARG002
        return EVERYTHING


class _Known(_Share):
    """The values of one form."""

    def __init__(self, field: Field, item: Order, form: Form, is_tie: bool) -> None:
        self._name, self._form, self._descending = field.name, form, item.descending
        self.is_usual = form is field.forms[0]
        self.subtype = form.subtype if field.is_guarded else None
        self._is_all = not field.is_guarded and not field.column.nullable and len(field.forms) == 1
        self.query = EVERYTHING if self._is_all else field.in_bracket(form) if is_tie else field.of_form(form)

    def sort(self, *, backward: bool) -> dict[str, int]:
        return {self._name: 1 if self._descending == backward else -1}

    def past(self, value: Value, *, forward: bool) -> Query | None:
        if value is None:
            return None if forward else EVERYTHING
        return self._ranged("gt" if forward != self._descending else "lt", value)

    def same(self, value: Value) -> Query | None:
        native = None if value is None else self._form.native(value)
        return None if native is None else {self._name: {"$eq": native}}

    def bound(self, value: Value, *, forward: bool) -> Query:
        if value is None:
            return EVERYTHING
        return self._ranged("gte" if forward != self._descending else "lte", value) or EVERYTHING

    def _ranged(self, op: str, value: Value) -> Query | None:
        operators = self._form.range(op, value)
        return {self._name: operators} if operators else operators


class _Odd(_Share):
    """Nulls, and what is of no type of the column's. None of them is before another."""

    is_usual = False

    def __init__(self, field: Field, item: Order, is_tie: bool) -> None:  # noqa: ARG002
        self.query = field.out_of_brackets if is_tie else field.odd

    def past(self, value: Value, *, forward: bool) -> Query | None:
        return EVERYTHING if forward and value is not None else None

    def same(self, value: Value) -> Query | None:
        return EVERYTHING if value is None else None


class _Ranked(_Share):
    """All values of an ENUM by their places, and behind them what is none of them."""

    def __init__(self, field: Field, item: Order, place: int) -> None:
        self._field, self._descending, self._rank = field, item.descending, f"__rank{place}"
        self.computed = {self._rank: field.rank(descending=item.descending)}

    def sort(self, *, backward: bool) -> dict[str, int]:
        return {self._rank: -1 if backward else 1}

    def past(self, value: Value, *, forward: bool) -> Query | None:
        odd = {"$nor": [self._known]}
        if value is None:
            return None if forward else self._known
        beyond = self._field.beyond("gt" if forward != self._descending else "lt", value)
        return any_of([beyond, odd]) if forward else beyond

    def same(self, value: Value) -> Query | None:
        return {"$nor": [self._known]} if value is None else self._field.equal(value)

    @property
    def _known(self) -> Query:
        return self._field.one_of(self._field.column.values)
