"""Count an operation's objects: before a store is asked, as many as its page sizes allow; while it runs, as many as there are. Pure.

One for every object of the answer; connections, edges, page infos and scalars are free. An object that several parents share counts as
often as it stands in the answer, since that is what is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter, mul
from typing import Any

import orjson

from gateway.engine.plan import ROOT, Cost, Place, Plan, Texts, Weight
from gateway.engine.results import Result
from gateway.engine.sources import Bound
from gateway.errors import LimitExceeded
from gateway.security.limits import SATURATED, Limits, enforced
from gateway.stores.base import Row, Type

FEW = 2_500  # objects of a small answer, of which some rows are looked at
SAMPLE = 4  # rows of a place, or a few more
SUSPICIOUS = 8  # a sample that makes an answer of more than this part of the limit has all rows looked at
_TEXTS = {str}
_MANY = {list, tuple}
KEY_BYTES = 6  # quotes, colon, comma and a short value around a response key


def is_settled(bindings: Sequence[Place], refused: Sequence[object]) -> bool:
    """Return whether the cost of a plan is the same for every request: no variable is a page size of it."""
    return not refused and not any(place.source is not None and place.source.has_size for place in bindings)


def cost(places: Sequence[Place], bounds: Sequence[Bound], page_default: int) -> Cost:
    """Return what the operation's page sizes allow. Lists without a size count what their declaration assumes."""
    rows = [0] * len(places)
    total = 0
    for place in places:  # parents stand before their children
        above = 1 if place.parent == ROOT else rows[place.parent]
        size = 1 if place.source is None else place.source.size(place, bounds, page_default)
        count = rows[place.index] = min(above * size, SATURATED)
        total += count * len(place.views)
    return Cost(min(total, SATURATED), rows)


class Counting:
    """Counts the objects and the text of one run, level by level, while its rows are taken.

    What the cost allows needs no counting: so only what may have more objects than an answer may, and rows with long texts are counted row
    by row. Where a list is longer than its declaration assumes, as many rows are allowed as there are if all are as long as the longest.
    Of an answer that may have many objects the longest text of each place is looked at: with as many of them as are allowed it is short
    enough, or it is counted. Of a small one some rows are.
    PERF: a look at samples takes 1 µs a place. In the chain of the benchmarks the longest texts take 10 µs of 120, counting took 36.
    """

    def __init__(self, plan: Plan, allowed: Cost, limits: Limits, root: Row, results: Sequence[Result]) -> None:
        self._plan = plan
        self._limits = limits
        self._total = allowed.total
        self._most: list[int] = allowed.rows  # of each place, in the answer
        self._results = results
        self._rows: Sequence[Row] = (root,)
        self._is_exact = allowed.total > limits.objects_max
        self._is_small = allowed.total <= FEW
        self._suspicious = limits.response_limit_bytes / SUSPICIOUS
        self._weights: dict[int, list[int]] = {ROOT: [1]}
        self._written: dict[int, float] = {ROOT: 1.0}  # about how many rows of a place stand in the answer, where they are not counted
        self._estimate = 0.0  # bytes: of a small answer as its samples are, else what there can be at most
        self._objects = self._bytes = 0

    def level(self, number: int) -> list[tuple[Place, LimitExceeded]]:
        """Count the rows that a level took; return the places with which the answer has too many objects.

        LimitExceeded where the answer's text is longer than an answer may be.
        """
        if self._is_exact:
            return self._counted(self._plan.levels[number])
        for place in self._plan.unsized[number]:
            self._lengthen(place)
        if not self._is_exact:
            self._is_exact = not (self._are_samples_short(number) if self._is_small else self._are_all_short(number))
        if not self._is_exact:
            return []
        return [over for level in self._plan.levels[: number + 1] for over in self._counted(level)]

    def _lengthen(self, place: Place) -> None:
        """Allow for as many rows as there are, where they are more than was assumed; counted are those that are too many."""
        assert place.source is not None
        result = self._results[place.index]
        if not result.rows:
            return
        above = self._rows if place.parent == ROOT else self._results[place.parent].rows
        most = place.source.longest(place, above, result) * (1 if place.parent == ROOT else self._most[place.parent])
        assumed = self._most[place.index]
        if most <= assumed:
            return
        if not assumed:
            self._is_exact = True
            return
        rows = list(self._most)
        rows[place.index] = most
        for below in self._plan.places[place.index + 1 :]:  # parents stand before their children
            if below.parent != ROOT and rows[below.parent] != self._most[below.parent]:
                rows[below.index] = -(-self._most[below.index] * rows[below.parent] // self._most[below.parent])
        self._most = rows
        self._total = sum(count * len(place.views) for count, place in zip(rows, self._plan.places, strict=True))
        if self._total > self._limits.objects_max or (self._is_small and self._total > FEW):
            self._is_exact = True

    def _are_samples_short(self, number: int) -> bool:
        for place, texts in self._plan.samples[number]:
            rows = self._results[place.index].rows
            if rows:
                self._estimate += self._sampled(place, rows, texts)
        return self._estimate <= self._suspicious

    def _are_all_short(self, number: int) -> bool:
        for place in self._plan.levels[number]:
            rows = self._results[place.index].rows
            if rows and place.views:
                weight = self._plan.weights[place.index]
                size = weight.keys
                for slot, times in weight.texts:
                    size += times * max(_lengths(slot, rows))
                self._estimate += size * self._most[place.index]
        return self._estimate <= self._limits.response_limit_bytes

    def _counted(self, level: Sequence[Place]) -> list[tuple[Place, LimitExceeded]]:
        taken = [place for place in level if self._results[place.index].rows and place.views]
        return [(place, error) for place in taken for error in self._count(place)]

    @property
    def size(self) -> int:
        """About how many objects the answer has; no small answer has more."""
        if self._is_exact:
            return self._objects
        if self._is_small:
            return self._total
        return int(sum(self._written_of(place) * len(place.views) for level in self._plan.levels for place in level))

    def _written_of(self, place: Place) -> float:
        """Return about how many rows of a place stand in the answer: as if each parent had as many, one where there are fewer than that."""
        written = self._written.get(place.index)
        if written is None:
            rows = len(self._results[place.index].rows)
            above = self._written_of(self._plan.places[place.parent]) if place.parent != ROOT else 1.0
            parents = len(self._results[place.parent].rows) if place.parent != ROOT else 1
            written = self._written[place.index] = above * max(1.0, rows / parents) if rows and parents else 0.0
        return written

    def _count(self, place: Place) -> list[LimitExceeded]:
        weights = self._weights_of(place)
        rows = self._results[place.index].rows
        written = sum(weights)  # rows in the answer
        objects = self._objects + written * len(place.views)
        if objects > self._limits.objects_max:  # PERF: to be told that a limit is kept takes 0.6 µs
            over = enforced(self._limits.exceeded("RESULT_LIMIT", "The answer has", "objects_max", objects, "objects or more"))
            if over:
                return over
        self._objects = objects
        weight = self._plan.weights[place.index]
        self._bytes += written * weight.keys
        once = weights.count(1) == len(weights)
        for slot, times in weight.texts:
            lengths = _lengths(slot, rows)
            self._bytes += times * (sum(lengths) if once else sum(map(mul, lengths, weights)))
        if self._bytes > self._limits.response_limit_bytes:
            for error in result_limit(self._limits, self._bytes):
                raise AnswerTooLongError(error)
        return []

    def _sampled(self, place: Place, rows: Sequence[Row], texts: Sequence[tuple[int, int]]) -> float:
        """Return how many bytes of text a place would have in the answer, if all rows were like some of them."""
        count = len(rows)
        if count > SAMPLE:
            rows = rows[:: count // SAMPLE]
        size = 0
        for slot, times in texts:
            for row in rows:
                value = row[slot]
                size += times * (len(value) if type(value) is str else length(value))
        return size / len(rows) * self._most[place.index]

    # ---------------------------------------------------------------------------------------------------------- weights

    def _weights_of(self, place: Place) -> list[int]:
        """Return how often each row of a place stands in the answer."""
        found = self._weights.get(place.index)
        if found is None:
            found = self._weights[place.index] = self._weigh(place)
        return found

    def _weigh(self, place: Place) -> list[int]:
        parents = self._parents(place)
        assert place.source is not None
        parts = place.source.parts(self._results[place.index])
        weights: list[int] = []
        for key, rows in parts:
            weights += [parents.get(key, 0)] * len(rows)
        return weights

    def _parents(self, place: Place) -> Mapping[Any, int]:
        """Return how often each key of a place is asked for in the answer."""
        assert place.source is not None
        if place.parent == ROOT:
            rows, weights = self._rows, self._weights[ROOT]
        else:
            rows, weights = self._results[place.parent].rows, self._weights_of(self._plan.places[place.parent])
        keys = list(place.source.keys_in(place, rows))
        are_single = _MANY.isdisjoint(map(type, keys))
        # PERF: 40 ns a key where each row stands once, 80 where not, 120 where there may be lists of keys.
        if are_single and weights.count(1) == len(weights):
            return Counter(keys)
        parents: dict[Any, int] = {}
        count = parents.get
        for key, weight in zip(keys, weights, strict=True):
            if not are_single and isinstance(key, (list, tuple)):  # each, and nodes(ids:)
                for one in key:
                    parents[one] = count(one, 0) + weight
            else:
                parents[key] = count(key, 0) + weight
        return parents


def _lengths(slot: int, rows: Sequence[Row]) -> Iterable[int]:
    values = list(map(itemgetter(slot), rows))
    # PERF: 40 ns a value where all are texts, as they mostly are, else 60; a call of length() for each took 2.5 µs a row.
    return map(len, values) if set(map(type, values)) == _TEXTS else [length(value) for value in values]


class AnswerTooLongError(Exception):
    """The answer would be longer than an answer may be."""

    def __init__(self, error: LimitExceeded) -> None:
        super().__init__(error.message)
        self.error = error


def result_limit(limits: Limits, size: int) -> list[LimitExceeded]:
    """Return the error of an answer of so many bytes; none where it may be that long."""
    return limits.exceeded("RESULT_LIMIT", "The answer has", "response_limit_bytes", size, "bytes or more", always=True)


def weight_of(place: Place) -> Weight:
    """Return what the rows of a place weigh in an answer, but for their values."""
    return Weight(sum(len(field.key) + KEY_BYTES for view in place.views for field in view.fields), _texts_of(place))


def _texts_of(place: Place) -> Texts:
    """Return the slots of a place's texts, and how often each is written for a row. Keys are none: an index holds no long ones."""
    slots = Counter(field.text_slot for view in place.views for field in view.fields)
    columns = place.layout.columns
    return tuple(
        (slot, times)
        for slot, times in slots.items()
        if slot is not None
        and (column := place.declared.get(columns[slot])) is not None
        and column.type in (Type.TEXT, Type.TEXTS, Type.JSON)
        and column.refers is None
    )


def length(value: Any) -> int:
    """Return about how many bytes a text, a list of texts or a JSON value takes in an answer."""
    if isinstance(value, str):
        return len(value)
    if value is None:
        return 0
    try:
        return len(orjson.dumps(value, default=str))
    except TypeError:  # JSON cannot hold it, which is told at its place
        return 0
