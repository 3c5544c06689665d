"""What a database has, compared with what a graph declares: the checks at the start that need the stores.

Pure: from what each store says it has (``stores/described.py``) to problems in the form of all others. What the database does not say is
not told: a view keeps nothing out, a sample speaks for its rows alone, an empty one for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from gateway.engine.declared import Problem
from gateway.stores.base import Collection, Column, Type
from gateway.stores.described import Description, Found, FoundColumn, Missing
from gateway.stores.migrating import is_ours

NAMES_SHOWN = 10
CLOSE = 0.6  # of difflib's measure


def problems_of(collections: Sequence[Collection], description: Description) -> list[Problem]:
    """Return all that one store lacks of its collections, or has otherwise, in the order of the declarations."""
    problems: list[Problem] = []
    for collection in collections:
        where = f"collection {collection.name} of the store {collection.store}"
        found = description[collection.name]
        problems += [_missing(where, collection, found)] if isinstance(found, Missing) else _of_collection(where, collection, found)
        if isinstance(found, Found) and found.repeated:
            got = f"one that {found.repeated} of {_rows(found)} have in common with another"
            problems.append(Problem(where, f"a key ({', '.join(collection.key)}) that is unique", got))
    return problems


def _missing(where: str, collection: Collection, missing: Missing) -> Problem:
    expected = f"a {missing.what} {missing.name}"
    others = tuple(name for name in missing.others if not is_ours(name))
    close = _close(missing.name, others)
    if close:
        return Problem(where, expected, f"none; there is {close}")
    is_made = collection.managed and (not others or is_ours(collection.name))
    return Problem(where, f"{expected}, which gateway migrate makes" if is_made else expected, "none")


def _of_collection(where: str, collection: Collection, found: Found) -> Iterator[Problem]:
    for column in collection.columns:
        its = found.columns.get(column.name)
        if its is None:
            yield from _without(where, column, found)
        elif column.type not in its.fits or (its.many is not None and its.many is not column.many and column.type is not Type.JSON):
            got = its.type if found.sampled is None else f"{its.type} in all of {_rows(found)}"
            wanted = f"lists of {column.type.upper()}" if column.many and column.type is not Type.TEXTS else column.type.upper()
            yield Problem(where, f"a column {column.path!r} for {wanted}", got)
        elif expected := _beyond_type(column, its, collection.managed):
            yield Problem(where, f"a column {column.path!r} {expected}", _shown(its))
        elif its.misfit is not None:
            expected, got = its.misfit
            yield Problem(where, f"a column {column.path!r} {expected}", got)
        elif found.is_enforced and its.nullable and not column.nullable:
            yield Problem(where, f"a column {column.path!r} that is never null", "one that may be")
    if found.is_enforced and not _is_unique(collection, found):
        yield Problem(where, f"a key ({', '.join(collection.key)}) that is unique", f"a {found.what} without a unique index of just these")


def _beyond_type(column: Column, its: FoundColumn, is_managed: bool) -> str | None:
    """Return what was expected of values that are of the right type; None where they are that. What there is is never cut."""
    match column.type:
        case Type.TIME | Type.CLOCK if its.precision is not None and its.precision > column.precision:
            return f"of at most {column.precision} digits of a second (its precision)"
        case Type.TIME | Type.CLOCK if column.precision > its.finest:
            return f"of {column.precision} digits of a second (its precision)"
        case Type.DECIMAL if its.scale is not None and column.scale is not None and its.scale > column.scale:
            return f"of at most {column.scale} decimals (its scale)"
        case Type.INT if its.bits is not None and its.bits > column.bits:
            return f"of {column.bits} bits"
        case Type.ENUM if its.values is not None and its.values != column.values:
            return f"with the values {', '.join(column.values)} in this order"
        case Type.TEXT if its.collation is not None and not _is_collated(column, its.collation, is_managed):
            return f"with the collation {column.collation}"
    return None


def _is_collated(column: Column, collation: str, is_managed: bool) -> bool:
    """Return whether texts are compared as declared. Equal are the same texts in all collations but some; those order as asked, unless
    it is our own column, which is taken at its word.
    """
    if column.collation == "nocase" or collation in ("C", "nocase"):
        return collation == column.collation
    return not is_managed and not collation.startswith("not deterministic")


def _shown(its: FoundColumn) -> str:
    details = its.values if its.values is not None else (its.collation,) if its.collation is not None else ()
    return f"{its.type} ({', '.join(details)})" if details else its.type


def _without(where: str, column: Column, found: Found) -> Iterator[Problem]:
    if found.sampled is None:
        yield Problem(where, f"a column {column.path!r}", _instead(column.path, found))
    elif found.sampled and not column.nullable:
        yield Problem(where, f"a column {column.path!r} that is never null", f"none in all of {_rows(found)}")


def _instead(name: str, found: Found) -> str:
    """Return what a table has in place of a column: the name that was probably meant, or all of them."""
    close = _close(name, tuple(found.columns))
    if close:
        return f"none; there is {close!r}"
    shown = list(found.columns)[:NAMES_SHOWN]
    more = len(found.columns) - len(shown)
    names = f"{', '.join(shown)}{f' and {more} more' if more else ''}"
    return f"a {found.what} with {names or 'no columns'}"


def _close(name: str, others: Sequence[str]) -> str:
    """Return which of the others was probably meant; nothing where none was. A name in another schema is the same name."""
    same = [other for other in others if other.lower() == name.lower() or other.rpartition(".")[2] == name]
    return next(iter(same or get_close_matches(name, others, n=1, cutoff=CLOSE)), "")


def _is_unique(collection: Collection, found: Found) -> bool:
    return any(index.unique and set(index.columns) == set(collection.key) for index in found.indexes)


def _rows(found: Found) -> str:
    return f"the {found.sampled} rows looked at" if found.sampled != 1 else "the one row looked at"
