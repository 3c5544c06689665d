"""What can be measured of a column, and a measure in parts that every database works out alike. Pure: no I/O.

Databases differ in what they make of a sum: of its type, of one beyond 64 bits, of the order in which floats are added. So none is asked
for a sum or an average, but for parts that are exact in each, and the measure is made of them here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal, InvalidOperation, localcontext
from fractions import Fraction
from typing import Any, Literal

from gateway.errors import OutOfRange, StoreMisbehaved
from gateway.stores.declarations import Collection, Column, Type, Value
from gateway.stores.requests import Aggregate, Groups, Measure
from gateway.stores.types import decimal_text

EXACT = Context(prec=2_100)  # more digits than a DECIMAL has
AVERAGE_DIGITS = 34  # of an average of DECIMALs, rounded half to even

HALF = 2**32  # an INT is high * HALF + low
INT_MIN, INT_MAX = -(2**63), 2**63 - 1

# A FLOAT of at least CUT_MIN and below CUT_LIMIT is cut into whole numbers of 31 bits, and is the sum of ``piece / scale``. So is a sum of
# such FLOATs the sum of their pieces' sums: those are exact, in whatever order they are added, up to 2**32 rows.
PIECE = 2**31
PIECES = tuple(2.0 ** (31 * place) for place in range(-1, 5))  # the scales: piece = trunc(value * scale % PIECE)
CUT_MIN, CUT_LIMIT = 2.0**-71, 2.0**62

NUMBERS = (Type.INT, Type.FLOAT, Type.DECIMAL)
_ORDERED = (*NUMBERS, Type.TIME, Type.DATE, Type.CLOCK, Type.TEXT)
_MEASURED = {
    "min": _ORDERED,
    "max": _ORDERED,
    "sum": NUMBERS,
    "avg": NUMBERS,
}


def misfit(collection: Collection, measure: Measure) -> tuple[str, str] | None:
    """Return what was expected of the measure's column, and what was found; None where it can be measured."""
    if measure.function == "count":
        return None if measure.column is None else ("count of rows, without a column", repr(measure.column))
    types = _MEASURED[measure.function]
    kinds = f"a column of type {', '.join(type_.upper() for type_ in types[:-1])} or {types[-1].upper()} of {collection.name}"
    column = collection.declared.get(measure.column or "")
    if column is None:
        return f"{kinds} ({', '.join(collection.names)})", repr(measure.column)
    return None if column.type in types else (kinds, f"{column.name!r} of type {column.type.upper()}")


def measured(collection: Collection, measure: Measure, name: str = "") -> Column:
    """Return the column that a measure gives."""
    if measure.column is None:
        return Column(name, Type.INT, bits=32)
    of = collection[measure.column]
    if measure.function == "avg":
        return Column(name, Type.DECIMAL if of.type is Type.DECIMAL else Type.FLOAT, nullable=of.nullable)
    if measure.function == "sum" and of.type is Type.INT:
        return Column(name, Type.INT, nullable=of.nullable, bits=of.bits)
    return replace(of, name=name)


@dataclass(frozen=True, slots=True)
class Part:
    """One value that a database works out over the rows of a group.

    count      how many rows                                    min, max   of the column
    number     how many rows have a value                       high, low  sums of the halves of an INT: two whole numbers with
                                                                           high * 2**32 + low, of any signs; null or 0 without values
    total      the sum of FLOATs: a number, one as text, or the sums of their pieces (``PIECES``), then that of those which have none;
               of DECIMALs: their exact sum as text
    """

    function: Literal["count", "min", "max", "number", "high", "low", "total"]
    type: Type
    column: str = ""  # none for count


def parts(collection: Collection, measures: Iterable[Measure]) -> list[Part]:
    """Return the parts of all measures, in their order."""
    return [part for measure in measures for part in _parts(collection, measure)]


def _parts(collection: Collection, measure: Measure) -> Sequence[Part]:
    if measure.column is None:
        return (Part("count", Type.INT),)
    column = collection[measure.column]
    match measure.function:
        case "min" | "max":
            return (Part(measure.function, column.type, column.name),)
        case _ if column.type is Type.INT:
            return (Part("high", Type.INT, column.name), Part("low", Type.INT, column.name), Part("number", Type.INT, column.name))
        case _:
            return (Part("total", column.type, column.name), Part("number", Type.INT, column.name))


def joined(aggregate: Aggregate, found: Groups) -> Groups:
    """Return rows of the groups' values and the measures, from rows of the groups' values and the measures' parts."""
    if not any(measure.function in ("sum", "avg") for measure in aggregate.measures):
        return found
    collection, width = aggregate.collection, len(aggregate.groups)
    spans: list[tuple[Measure, int, int]] = []
    start = width
    for measure in aggregate.measures:
        end = start + len(_parts(collection, measure))
        spans.append((measure, start, end))
        start = end
    return {
        parent: [(*row[:width], *(_joined(collection, measure, row[start:end]) for measure, start, end in spans)) for row in rows]
        for parent, rows in found.items()
    }


def _joined(collection: Collection, measure: Measure, values: Sequence[Value]) -> Value:
    if measure.function not in ("sum", "avg"):
        return values[0]
    *sums, number = values
    if not number:
        return None
    if len(sums) == 2:
        return finished(collection, measure, _whole(*sums), number)
    if collection[measure.column or ""].type is Type.DECIMAL:
        return finished(collection, measure, _decimal(collection, measure, sums[0]), number)
    return finished(collection, measure, _float(collection, measure, sums[0]), number)


def _decimal(collection: Collection, measure: Measure, total: Any) -> Decimal:
    try:
        return Decimal(total)
    except (TypeError, ValueError, InvalidOperation) as exc:
        raise StoreMisbehaved(f"the sum of {collection.name}.{measure.column}: expected a number as text, found {total!r}") from exc


def decimal_sum(values: Iterable[str]) -> Decimal:
    """Return the exact sum of DECIMALs."""
    total = Decimal(0)
    with localcontext(EXACT):
        for value in values:
            total += Decimal(value)
    return total


def _whole(high: Any, low: Any) -> int:
    if not isinstance(high, int) or not isinstance(low, int):
        raise StoreMisbehaved(f"the sum of an INT came as {type(high).__name__} and {type(low).__name__}")
    return int(high) * HALF + int(low)


def _float(collection: Collection, measure: Measure, total: Any) -> float:
    try:
        return _of_pieces(*total) if isinstance(total, list) else float(total)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError) as exc:
        raise StoreMisbehaved(f"the sum of {collection.name}.{measure.column}: expected a number, found {total!r}") from exc


def _of_pieces(*sums: float) -> float:
    *pieces, rest = sums
    if not math.isfinite(rest):
        return rest
    return float(Fraction(rest) + sum(Fraction(piece) / Fraction(scale) for piece, scale in zip(pieces, PIECES, strict=True)))


def finished(collection: Collection, measure: Measure, total: float | Decimal, number: int) -> Value:
    """Return a sum or an average of a sum over ``number`` values; OutOfRange where it has no place in its type."""
    if isinstance(total, Decimal):
        if measure.function == "sum":
            return decimal_text(total, collection[measure.column or ""].scale)
        if not total.is_finite():
            return decimal_text(total)
        with localcontext(Context(prec=AVERAGE_DIGITS)):
            return decimal_text((total / number).normalize())
    if isinstance(total, int):
        if measure.function == "avg":
            return total / number  # rounded once, however large the sum
        if not INT_MIN <= total <= INT_MAX:
            raise OutOfRange(f"The sum of {measure.column} of {collection.name} does not fit into 64 bits; ask for fewer rows.")
        return total
    if not math.isfinite(total):
        raise OutOfRange(f"The sum of {measure.column} of {collection.name} is beyond what a float can hold; ask for fewer rows.")
    total += 0.0  # there is one zero
    return total / number if measure.function == "avg" else total
