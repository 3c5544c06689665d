"""Keys of a request, and answers by them: made unique, split into calls, joined again. One pass over them each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TypeVar, cast

from gateway.errors import StoreMisbehaved
from gateway.stores.declarations import Key, Row

KEYS_PER_CALL = 1_000  # a batch of more keys is split
PAIRS_PER_CALL = 10_000

_K = TypeVar("_K")
_V = TypeVar("_V")


class UniqueKeys(list[Key]):
    """Keys of which no two are equal, by the word of who made the list, so that nobody looks again."""

    __slots__ = ()


def union(parts: Iterable[Sequence[Key]]) -> UniqueKeys:
    return UniqueKeys(dict.fromkeys([item for part in parts for item in part]))


def of_keys(answer: Mapping[_K, _V], keys: Iterable[_K]) -> dict[_K, _V]:
    return {key: answer[key] for key in keys if key in answer}


def picker(columns: tuple[str, ...], of: tuple[str, ...]) -> Callable[[Row], Row]:
    """Return a function from a row of the columns ``of`` to the same row of ``columns``."""
    positions = [of.index(name) for name in columns]
    if len(positions) > 1:
        return cast("Callable[[Row], Row]", itemgetter(*positions))
    return lambda row: tuple([row[position] for position in positions])  # itemgetter would give the value itself, or takes none


def is_fit(keys: Sequence[Key]) -> bool:
    return type(keys) is UniqueKeys and 0 < len(keys) <= KEYS_PER_CALL


def parts_of(keys: Sequence[Key]) -> Sequence[Sequence[Key]]:
    """Return the keys, each once, in parts of at most KEYS_PER_CALL."""
    if type(keys) is not UniqueKeys:
        unique = dict.fromkeys(keys)
        keys = keys if len(unique) == len(keys) else UniqueKeys(unique)
    if 0 < len(keys) <= KEYS_PER_CALL:
        return (keys,)
    return [UniqueKeys(keys[start : start + KEYS_PER_CALL]) for start in range(0, len(keys), KEYS_PER_CALL)]


def is_whole(parts: Sequence[Sequence[Key]], keys: Sequence[Key]) -> bool:
    return len(parts) == 1 and parts[0] is keys


def pair_parts(pairs: Sequence[tuple[Key, Key]]) -> Iterator[list[tuple[Key, Key]]]:
    """Split between parents, so that a parent's page comes from one call, as long as it has no more pairs than a call may have."""
    by_parent: dict[Key, dict[Key, None]] = {}
    for parent, key in pairs:
        by_parent.setdefault(parent, {})[key] = None
    part: list[tuple[Key, Key]] = []
    parents = 0
    for parent, its in by_parent.items():
        keys: Sequence[Key] = list(its)
        while len(keys) > PAIRS_PER_CALL:
            yield [(parent, key) for key in keys[:PAIRS_PER_CALL]]
            keys = keys[PAIRS_PER_CALL:]
        if part and (len(part) + len(keys) > PAIRS_PER_CALL or parents == KEYS_PER_CALL):
            yield part
            part, parents = [], 0
        part.extend((parent, key) for key in keys)
        parents += 1
    if part:
        yield part


def has_more_than_a_call(pairs: Sequence[tuple[Key, Key]]) -> bool:
    """Return whether a parent has more pairs than a call may have, so that its page comes from several."""
    if len(pairs) <= PAIRS_PER_CALL:
        return False
    counts = Counter(map(itemgetter(0), pairs))
    if max(counts.values()) <= PAIRS_PER_CALL:
        return False
    return max(Counter(map(itemgetter(0), dict.fromkeys(pairs))).values()) > PAIRS_PER_CALL


def joined(answers: Sequence[Mapping[_K, _V]]) -> Mapping[_K, _V]:
    if len(answers) == 1:
        return answers[0]
    joined: dict[_K, _V] = {}
    for answer in answers:
        if joined.keys() & answer.keys():
            raise StoreMisbehaved("two parts of a split batch answered for the same key")
        joined.update(answer)
    return joined
