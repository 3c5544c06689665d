"""What a column is in MongoDB's documents: where it stands, in which forms its values are, and what tells them from others. Pure: no I/O.

In a collection of ours every value is null or of its column's type, in the one form that ``values.py`` writes. In documents of others a
column may hold anything, so what is asked about it is guarded there: MongoDB compares numbers of all its types, finds what is in an array
where a value is asked for, and has an order for values of different types.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import bson
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128, create_decimal128_context
from bson.objectid import ObjectId

from gateway.errors import BadUserInput
from gateway.stores.base import Collection, Column, Type, Value
from gateway.stores.mongo.values import BYTES_SUBTYPES, DAY_MS, EXACT_FLOATS, UUID_SUBTYPES, encode, moment
from gateway.stores.types import DECIMAL_DIGITS, INFINITY, MINUS_INFINITY, NO_VALUE
from gateway.stores.values import SHAPES_KEPT

Query = dict[str, Any]
Expression = Any

EVERYTHING: Query = {}
NOTHING: Query = {"_id": {"$in": []}}  # the planner answers it without looking at anything

NAN = Decimal128("NaN")

_RANGES = {"gt": "$gt", "gte": "$gte", "lt": "$lt", "lte": "$lte"}
_UP = ("gt", "gte")
_NO_ARRAY: Query = {"$not": {"$type": "array"}}  # without it what is in one is compared, too
_NUMBERS = ("double", "int", "long", "decimal")
_TYPES = (
    *("minKey", "maxKey", "double", "int", "long", "decimal", "string", "object", "array", "binData", "objectId", "bool", "date", "regex"),
    *("javascript", "timestamp", "undefined", "dbPointer", "symbol", "javascriptWithScope"),
)
_INFINITIES = (Decimal128("-Infinity"), Decimal128("Infinity"))
_LEAST_UUID, _GREATEST_UUID = b"\x00" * 16, b"\xff" * 16
_DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
_TRUNC_PLACES = 100  # of $trunc, at most


@dataclass(frozen=True, slots=True)
class Form:
    """One way in which documents keep a column's values. Values of a form are ordered as their wire values are.

    ``bracket`` are a query's operators for all values that MongoDB orders among those of this form, ``operators`` for those that are of
    it, as far as operators can tell; ``residue`` is the expression, of a reference, that tells the rest.
    """

    bracket: Query
    operators: Query
    encode: Callable[[Value], Any]  # NO_VALUE where this form has none
    range: Callable[[str, Value], Query | None]  # operators for all that is beyond a value, none where that is all; None for nothing
    residue: Callable[[Expression], Expression] | None = None
    types: tuple[str, ...] = ()  # by MongoDB's names
    subtype: int | None = None  # of a UUID's Binary

    def native(self, value: Value) -> Any:
        """Return what a document of this form holds for a value, never null; None where there is none."""
        native = self.encode(value)
        return None if native is NO_VALUE else native

    def test(self, ref: Expression) -> Expression:
        """Return the expression that is true for a value of this form, and false for every other and for none."""
        is_type: Expression = {"$in": [{"$type": ref}, list(self.types)]}
        return is_type if self.residue is None else {"$cond": [is_type, self.residue(ref), False]}


class Field:
    """A column of a collection as its documents have it."""

    __slots__ = ("column", "forms", "is_guarded", "is_sorted_as_it_is", "name", "ref")

    def __init__(self, collection: Collection, column: Column) -> None:
        self.column = column
        self.name = name_of(collection, column)
        self.is_guarded = not collection.managed
        self.ref = self._reference()
        self.forms = tuple(_forms(column, self.is_guarded))
        self.is_sorted_as_it_is = not self.is_guarded and len(self.forms) == 1 and column.type is not Type.ENUM

    # ---------------------------------------------------------------------------------------------------------- queries

    def equal(self, value: Value) -> Query:
        """Return what matches one value; a null matches a missing field, too."""
        if value is None:
            return self.null
        natives = self.natives([value])
        return self._compared({"$eq": natives[0]} if len(natives) == 1 else {"$in": natives}) if natives else NOTHING

    def one_of(self, values: Sequence[Value]) -> Query:
        return self._compared({"$in": self.natives(values)})

    def natives(self, values: Sequence[Value]) -> list[Any]:
        """Return what documents may hold for the values, in every form; BadUserInput where one is none of the column's type."""
        if self.column.type in _AS_THEY_ARE:
            return list(values)
        found = [self._encoded(form, value) for value in values for form in self.forms]
        return [native for native in found if native is not NO_VALUE]

    def beyond(self, op: str, value: Value) -> Query:
        """Return what matches values that are greater or less; BadUserInput where that cannot be told."""
        if self.is_guarded and self.column.type is Type.BYTES:
            raise BadUserInput(f"{self.column.name}: BYTES in documents of others cannot be compared but for being equal")
        ways: list[Query] = []
        for form in self.forms:
            operators = self._ranged(form, op, value)
            if operators is None:
                continue
            if not self.is_guarded:
                ways.append({self.name: operators or form.operators})
            else:
                ways.append(self._only(form, {**form.operators, **operators}))
        return any_of(ways)

    @property
    def null(self) -> Query:
        if not self.is_guarded and not (self.column.many or self.column.type is Type.JSON):
            return {self.name: {"$eq": None}}
        # An array with a null in it equals null, too.
        return self._outside_of_arrays({self.name: {"$eq": None, **_NO_ARRAY}})

    @property
    def sound(self) -> Query:
        """What matches values of the column's type."""
        if not self.is_guarded:
            return {self.name: {"$ne": None}}
        return any_of([self._only(form, form.operators) for form in self.forms])

    @property
    def odd(self) -> Query:
        """What matches all that has the place of a null in an order."""
        return {"$nor": [self.sound]} if self.is_guarded else self.null

    def of_form(self, form: Form) -> Query:
        """Return what matches values of one form."""
        return self._only(form, form.operators) if self.is_guarded else {self.name: form.operators}

    def in_bracket(self, form: Form) -> Query:
        return self._outside_of_arrays({self.name: {**form.bracket, **self._no_array}})

    @property
    def out_of_brackets(self) -> Query:
        """What matches values of no form's bracket; by conditions that an index serves each, for there are hardly any."""
        types = {name for form in self.forms for name in (_NUMBERS if set(form.types) & set(_NUMBERS) else form.types)}
        others: list[Query] = [{self.name: {"$type": [name for name in _TYPES if name not in types]}}, {self.name: {"$eq": None}}]
        if self.column.type is Type.UUID:
            others += [
                {self.name: {"$type": "binData", "$lt": Binary(_LEAST_UUID, min(UUID_SUBTYPES))}},
                {self.name: {"$type": "binData", "$gt": Binary(_GREATEST_UUID, max(UUID_SUBTYPES))}},
            ]
        return any_of([*others, *({prefix: {"$type": "array"}} for prefix in self._prefixes)])

    def holds(self, op: str, value: Value) -> Query:
        """Return what matches lists with a value, with one of several, or with none."""
        operators: Query
        match op:
            case "is_empty":
                operators = {"$size": 0} if value else {"$type": "array", "$not": {"$size": 0}}
            case "has":
                natives = self.natives([value])
                operators = {"$elemMatch": {"$eq": natives[0]} if len(natives) == 1 else {"$in": natives}}
            case _:
                operators = {"$elemMatch": {"$in": self.natives(value)}}
        found: Query = {self.name: operators}
        if not self.is_guarded:
            return found
        return all_of([self._outside_of_arrays(found), {"$expr": self._list_test(self.ref)}])

    def guarded(self, query: Query) -> Query:
        """Return a query about this field's values that matches nothing else."""
        if not self.is_guarded:
            return query
        return all_of([query, self._only(self.forms[0], self.forms[0].operators)])

    @property
    def guard(self) -> Query:
        """What keeps out what equals a value of the column and is none: other numbers, and arrays."""
        operators = {**self._type_of_numbers, **self._no_array} if self.is_guarded else {}
        return self._outside_of_arrays({self.name: operators} if operators else EVERYTHING)

    # ------------------------------------------------------------------------------------------------------ expressions

    def test(self, ref: Expression) -> Expression:
        """Return the expression that is true for a value of the column's type alone."""
        tests = [form.test(ref) for form in self.forms]
        return tests[0] if len(tests) == 1 else {"$or": tests}

    @property
    def value(self) -> Expression:
        """The value in one form, to be measured and grouped by; of a guarded field null in place of all that is none."""
        return {"$cond": [self.test(self.ref), self._normal, None]} if self.is_guarded else self.ref

    @property
    def group(self) -> Expression:
        """What rows are grouped by: a value, null, or in place of what is none of the column a document that says of which type it is."""
        if not self.is_guarded:
            return self.ref
        other = {"$cond": [{"$lte": [self.ref, None]}, None, {"type": {"$type": self.ref}}]}
        return {"$cond": [self.test(self.ref), self._normal, other]}

    def rank(self, *, descending: bool) -> Expression:
        """Return the place of an ENUM's value in the order asked; all else comes behind them."""
        values = list(reversed(self.column.values) if descending else self.column.values)
        place = {"$indexOfArray": [{"$literal": values}, self.ref]}
        return {"$cond": [{"$gte": [place, 0]}, place, len(values)]}

    # ---------------------------------------------------------------------------------------------------------- helpers

    @property
    def _normal(self) -> Expression:
        match self.column.type:
            case Type.INT:
                return {"$toLong": self.ref}
            case Type.FLOAT:
                return {"$toDouble": self.ref}
            case Type.DECIMAL:
                return {"$toDecimal": self.ref}
            case Type.DATE:
                return {"$cond": [{"$eq": [{"$type": self.ref}, "date"]}, self.ref, _date_of_text(self.ref)]}
            case Type.TIME:
                return {"$cond": [{"$eq": [{"$type": self.ref}, "date"]}, self.ref, _time_of_text(self.ref)]}
            case _:
                return self.ref

    def _encoded(self, form: Form, value: Value) -> Any:
        try:
            return form.encode(value)
        except (TypeError, ValueError, ArithmeticError, bson.errors.BSONError) as exc:
            raise self._refused() from exc

    def _ranged(self, form: Form, op: str, value: Value) -> Query | None:
        try:
            return form.range(op, value)
        except (TypeError, ValueError, ArithmeticError, bson.errors.BSONError) as exc:
            raise self._refused() from exc

    def _refused(self) -> BadUserInput:
        return BadUserInput(f"{self.column.name}: this is no {self.column.type} that MongoDB can hold")

    def _compared(self, operators: Query) -> Query:
        if not self.is_guarded:
            return {self.name: operators}
        return self._outside_of_arrays({self.name: {**operators, **self._type_of_numbers, **self._no_array}})

    def _only(self, form: Form, operators: Query) -> Query:
        query = self._outside_of_arrays({self.name: {**operators, **self._no_array}})
        return query if form.residue is None else all_of([query, {"$expr": form.test(self.ref)}])

    def _outside_of_arrays(self, query: Query) -> Query:
        """Return the query without documents where the path leads through an array: many values are none."""
        return all_of([query, *({prefix: _NO_ARRAY} for prefix in self._prefixes)])

    def _reference(self) -> Expression:
        """Return the expression of the value; an array where the path leads through one, which is no value of any column."""
        path = f"${self.name}"
        arrays = [{"$isArray": [f"${prefix}"]} for prefix in self._prefixes]
        return {"$cond": [arrays[0] if len(arrays) == 1 else {"$or": arrays}, {"$literal": []}, path]} if arrays else path

    @property
    def _prefixes(self) -> list[str]:
        steps = self.name.split(".")
        return [".".join(steps[:count]) for count in range(1, len(steps))] if self.is_guarded else []

    @property
    def _no_array(self) -> Query:
        return _NO_ARRAY if self.name != "_id" else {}  # which is none, ever

    @property
    def _type_of_numbers(self) -> Query:
        """The operator that tells numbers of the column's type from others that are equal to them."""
        types = self.forms[0].types
        return {"$type": list(types)} if set(types) <= set(_NUMBERS) and types else {}

    def _list_test(self, ref: Expression) -> Expression:
        items = {"$map": {"input": ref, "in": self.test("$$this")}}
        return {"$cond": [{"$isArray": [ref]}, {"$allElementsTrue": [items]}, False]}


@lru_cache(maxsize=SHAPES_KEPT)
def field_of(collection: Collection, column: str) -> Field:
    return Field(collection, collection[column])


def fields_of(collection: Collection, columns: str) -> list[Field]:
    """Return the fields of a key: of one column, or of several with commas between their names."""
    return [field_of(collection, column.name) for column in collection.columns_of(columns)]


def name_of(collection: Collection, column: Column) -> str:
    """Return the path of a column in documents, ``at`` where it says one.

    A key of one column is the ``_id`` in a collection of ours, and in those of others where it is called ``id``.
    """
    if column.at or collection.key != (column.name,):
        return column.path
    return "_id" if collection.managed or column.name == "id" else column.name


def all_of(queries: Sequence[Query]) -> Query:
    """Return the query that matches what all ``queries`` match; everything when there are none."""
    told = [query for query in queries if query]
    if len(told) > 1:
        return {"$and": told}
    return told[0] if told else EVERYTHING


def any_of(queries: Sequence[Query]) -> Query:
    """Return the query that matches what one of ``queries`` matches; nothing when there are none."""
    if len(queries) > 1:
        return {"$or": list(queries)}
    return queries[0] if queries else NOTHING


# ---------------------------------------------------------------------------------------------------------------- forms

_AS_THEY_ARE = (Type.TEXT, Type.TEXTS, Type.BOOL, Type.INT)  # values are what documents hold, in the one form there is


def _forms(column: Column, is_guarded: bool) -> list[Form]:
    match column.type:
        case Type.TEXT | Type.TEXTS | Type.BOOL | Type.OBJECT_ID:
            type_, least = _BRACKETS[column.type]
            bracket = {"$gte": least}
            return [Form(bracket, bracket, _encoder(column), _ranging(_encoder(column)), types=(type_,))]
        case Type.INT | Type.FLOAT:
            types = ("int", "long", "double")
            number = _is_whole if column.type is Type.INT else _is_float
            operators = {"$type": list(types)}
            return [Form({"$type": "number"}, operators, _encoder(column), _ranging(_encoder(column)), number, types)]
        case Type.DECIMAL:
            return _decimals(column, is_guarded)
        case Type.TIME:
            return _times(column) if is_guarded else _times(column)[:1]
        case Type.DATE:
            text = _texts_of_time(_DATE_PATTERN, _is_day, _day_text)
            return [_dates(DAY_MS), text] if is_guarded else [text]
        case Type.CLOCK:
            digits = rf"\.\d{{{column.precision}}}" if column.precision else ""
            pattern = rf"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d{digits}$"
            return [Form({"$gte": ""}, {"$regex": pattern}, _itself, _ranging(_itself), lambda ref: _matches(pattern, ref), ("string",))]
        case Type.UUID:
            return [_uuids(subtype) for subtype in (UUID_SUBTYPES if is_guarded else UUID_SUBTYPES[:1])]
        case Type.BYTES if is_guarded:
            binaries = {"$type": "binData"}
            return [Form(binaries, binaries, _binary(subtype), _none_beyond, types=("binData",)) for subtype in BYTES_SUBTYPES]
        case Type.BYTES:
            return [Form({"$gte": ""}, {"$gte": ""}, _encoder(column), _ranging(_encoder(column)), types=("string",))]
        case Type.ENUM:
            return [_enum(column)]
        case _:
            return [Form(EVERYTHING, EVERYTHING, _encoder(column), _none_beyond, types=_TYPES)]


_BRACKETS: dict[Type, tuple[str, Any]] = {
    Type.TEXT: ("string", ""),
    Type.TEXTS: ("string", ""),
    Type.BOOL: ("bool", False),
    Type.OBJECT_ID: ("objectId", ObjectId("0" * 24)),
}


def _encoder(column: Column) -> Callable[[Value], Any]:
    of_item = Column(column.name, column.type, precision=column.precision, values=column.values) if column.many else column
    return lambda value: encode(of_item, value)


def _ranging(encoder: Callable[[Value], Any]) -> Callable[[str, Value], Query]:
    return lambda op, value: {_RANGES[op]: encoder(value)}


def _itself(value: Value) -> Any:
    return value


def _none_beyond(op: str, value: Value) -> None:  # noqa: ARG001 - the form of all
    return None


def _enum(column: Column) -> Form:
    values = column.values

    def beyond(op: str, value: Value) -> Query | None:
        place = values.index(value)
        found = {"gt": values[place + 1 :], "gte": values[place:], "lt": values[:place], "lte": values[: place + 1]}[op]
        return {"$in": list(found)}

    known = {"$in": list(values)}
    return Form(known, known, lambda value: value if value in values else NO_VALUE, beyond, types=("string",))


def _uuids(subtype: int) -> Form:
    ends: Query = {"$gte": Binary(_LEAST_UUID, subtype), "$lte": Binary(_GREATEST_UUID, subtype)}

    def native(value: Value) -> Binary:
        return Binary(UUID(value).bytes, subtype)

    def beyond(op: str, value: Value) -> Query:
        return {_RANGES[op]: native(value), **({"$lte": ends["$lte"]} if op in _UP else {"$gte": ends["$gte"]})}

    def test(ref: Expression) -> Expression:
        return {"$and": [{"$gte": [ref, ends["$gte"]]}, {"$lte": [ref, ends["$lte"]]}]}

    return Form(ends, ends, native, beyond, test, ("binData",), subtype)


def _binary(subtype: int) -> Callable[[Value], Any]:
    return lambda value: Binary(base64.b64decode(value, validate=True), subtype)


# ------------------------------------------------------------------------------------------------------------- decimals


def _decimals(column: Column, is_guarded: bool) -> list[Form]:
    types = ("decimal", "int", "long") if is_guarded else ("decimal",)
    scale = column.scale
    typed: Query = {"$type": list(types)} if is_guarded else {}

    def is_number(ref: Expression) -> Expression:
        end, least = Decimal128(f"1E+{DECIMAL_DIGITS + 1}"), Decimal128(f"1E-{DECIMAL_DIGITS}")
        tests: list[Expression] = [
            {"$gt": [ref, Decimal128(f"-1E+{DECIMAL_DIGITS + 1}")]},
            {"$lt": [ref, end]},
            {"$or": [{"$eq": [ref, 0]}, {"$gte": [ref, least]}, {"$lte": [ref, Decimal128(f"-1E-{DECIMAL_DIGITS}")]}]},
        ]
        if scale is not None and scale <= _TRUNC_PLACES:
            tests.append({"$eq": [ref, {"$trunc": [ref, scale]}]})
        return {"$and": tests} if scale is not None else {"$or": [{"$in": [ref, list(_INFINITIES)]}, {"$and": tests}]}

    numbers = {"$gte": _INFINITIES[0]}
    finite = Form({"$type": "number"}, {**numbers, **typed}, _decimal, _decimal_range, is_number, types)
    if scale is not None:
        return [finite]
    # MongoDB has what is no number before all that are, and compares it with none: here it comes behind them.
    no_number = Form(
        {"$eq": NAN, "$type": "decimal"},
        {"$eq": NAN, "$type": "decimal"},
        lambda value: NAN if value == "NaN" else NO_VALUE,
        _beyond_no_number,
        lambda ref: {"$eq": [ref, NAN]},
        ("decimal",),
    )
    return [Form(numbers, finite.operators, finite.encode, finite.range, finite.residue, types), no_number]


def _decimal(value: Value) -> Any:
    if value == "NaN":
        return NO_VALUE
    try:
        return Decimal128(value)
    except ArithmeticError:
        return NO_VALUE  # of more digits than any that is there


def _decimal_range(op: str, value: Value) -> Query | None:
    if value == "NaN":
        return None if op in _UP else EVERYTHING
    try:
        return {_RANGES[op]: Decimal128(value)}
    except ArithmeticError:
        rounded = _rounding(ROUND_FLOOR if op in _UP else ROUND_CEILING).create_decimal(Decimal(value))
        return {"$gt" if op in _UP else "$lt": Decimal128(rounded)}


def _rounding(way: str) -> Context:
    context = create_decimal128_context()
    context.rounding = way
    context.clear_traps()
    return context


def _beyond_no_number(op: str, value: Value) -> Query | None:
    if value == "NaN":
        return EVERYTHING if op in ("gte", "lte") else None
    return EVERYTHING if op in _UP else None


# -------------------------------------------------------------------------------------------------------- times and days


def _moment(value: Value) -> datetime | DatetimeMS:
    return moment(value)


def _finite(encoder: Callable[[Value], Any]) -> Callable[[Value], Any]:
    return lambda value: NO_VALUE if value in (INFINITY, MINUS_INFINITY) else encoder(value)


def _moments(op: str, value: Value) -> Query | None:
    if value == INFINITY:
        return None if op in _UP else EVERYTHING
    if value == MINUS_INFINITY:
        return EVERYTHING if op in _UP else None
    return {_RANGES[op]: moment(value)}


def _times(column: Column) -> list[Form]:
    """Return the forms of a TIME: dates, and texts as the wire has them."""
    digits = rf"\.\d{{{column.precision}}}" if column.precision else ""
    pattern = rf"^\d{{4}}-\d{{2}}-\d{{2}}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d{digits}Z$"

    def is_time(ref: Expression) -> Expression:
        return {"$cond": [_matches(pattern, ref), {"$gt": [_time_of_text(ref), None]}, False]}

    return [_dates(None if column.precision else 1_000), _texts_of_time(pattern, is_time, _day_text)]


def _dates(divisor: int | None) -> Form:
    """Return the form of BSON dates, of whole seconds or days where ``divisor``, in milliseconds, says so."""
    residue = None if divisor is None else lambda ref: _divides(divisor, ref)
    return Form({"$type": "date"}, {"$type": "date"}, _finite(_moment), _moments, residue, ("date",))


def _texts_of_time(pattern: str, test: Callable[[Expression], Expression], encoder: Callable[[Value], Any]) -> Form:
    return Form({"$type": "string"}, {"$regex": pattern}, encoder, _day_texts, test, ("string",))


def _day_text(value: Value) -> Any:
    if not isinstance(value, str):
        raise TypeError(value)
    return value if value[:1].isdigit() and not value.startswith("0000") else NO_VALUE


def _day_texts(op: str, value: Value) -> Query | None:
    """Return the range of times or days as texts, which are of the years 0001 to 9999 alone."""
    if _day_text(value) is not NO_VALUE:
        return {_RANGES[op]: value}
    is_above = value[0] in "+" + INFINITY[0]
    return EVERYTHING if (op in _UP) is not is_above else None


def _time_of_text(ref: Expression) -> Expression:
    return {"$dateFromString": {"dateString": ref, "onError": None, "onNull": None}}


def _date_of_text(ref: Expression) -> Expression:
    return {"$dateFromString": {"dateString": ref, "format": "%Y-%m-%d", "onError": None, "onNull": None}}


def _is_day(ref: Expression) -> Expression:
    return {"$cond": [_matches(_DATE_PATTERN, ref), {"$gt": [_date_of_text(ref), None]}, False]}


def _matches(pattern: str, ref: Expression) -> Expression:
    return {"$regexMatch": {"input": ref, "regex": pattern}}


def _divides(milliseconds: int, ref: Expression) -> Expression:
    return {"$eq": [{"$mod": [{"$toLong": ref}, milliseconds]}, 0]}


# -------------------------------------------------------------------------------------------------------------- numbers


def _is_whole(ref: Expression) -> Expression:
    return {"$and": [{"$gte": [ref, -(2.0**63)]}, {"$lt": [ref, 2.0**63]}, {"$eq": [ref, {"$trunc": [ref, 0]}]}]}


def _is_float(ref: Expression) -> Expression:
    is_exact = {"$and": [{"$gte": [ref, -EXACT_FLOATS]}, {"$lte": [ref, EXACT_FLOATS]}]}
    ends = [{"$gte": [ref, -sys.float_info.max]}, {"$lte": [ref, sys.float_info.max]}]
    return {"$and": [*ends, {"$or": [{"$ne": [{"$type": ref}, "long"]}, is_exact]}]}
