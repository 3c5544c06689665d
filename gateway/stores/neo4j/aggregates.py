"""Write Cypher for rows that are measured by groups, and read what it answers. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from gateway.caches import remembered
from gateway.stores.base import Aggregate, Bucket, Measure, Type, Value, Where
from gateway.stores.measures import CUT_LIMIT, CUT_MIN, EXACT, HALF, PIECE, PIECES, Part, decimal_sum, parts
from gateway.stores.neo4j.conditions import Parameters, conditions, split
from gateway.stores.neo4j.forms import Decode, Form, of_sortable, unsorted
from gateway.stores.neo4j.sources import Source
from gateway.stores.neo4j.ways import TEXTS_KEPT, TEXTS_LIMIT_BYTES, bound_keys, is_key, matching, way_to
from gateway.stores.values import Unreadable, found_in_place_of

WHOLE_LIMIT = 2**51  # a FLOAT below it times its scale is rounded to the whole number that it is meant to be


def aggregate_statement(source: Source, aggregate: Aggregate) -> tuple[str, Parameters]:
    """Answers [[parent, row], …], in no order: that of text would depend on where the database has it from."""
    where, parameters = split(source, aggregate.where)
    column = None
    if aggregate.match is not None:
        column = aggregate.match.column
        parameters["keys"] = bound_keys(source, column, aggregate.match.keys)
    if aggregate.most is not None:
        parameters["most"] = aggregate.most
    return _aggregate_text(source, aggregate.groups, aggregate.measures, column, where, aggregate.most is not None), parameters


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _aggregate_text(
    source: Source, groups: tuple[str | Bucket, ...], measures: tuple[Measure, ...], column: str | None, where: Where | None, bounded: bool
) -> str:
    wanted = conditions(source, where)
    parent, way, each = "null", None, ""
    if column is not None:
        used = {g if isinstance(g, str) else g.column for g in groups} | {m.column for m in measures}
        way = way_to(source, column, lambda index: len(used & {*index}))
        form = source.key_form(column)
        if form.is_plain:
            parent = source.ref(column)
            wanted.insert(0, f"{parent} IN $keys")
        else:
            parent, each = "k[0]", "UNWIND $keys AS k "
            wanted[:0] = is_key(source, column, [f"k[{i + 1}]" for i in range(len(form.columns))])
    grouped = [f"{parent} AS parent", *(f"{_group(source, g)} AS g{i}" for i, g in enumerate(groups))]
    asked = parts(source.collection, measures)
    measured = [f"{_measure(source, part)} AS m{i}" for i, part in enumerate(asked)]
    values = [_shown_group(source, g, f"g{i}") for i, g in enumerate(groups)]
    values += [_shown_part(source, part, f"m{i}") for i, part in enumerate(asked)]
    return (
        f"{each}{matching(source, wanted, way)} WITH {', '.join([*grouped, *measured, 'count(*) AS matched'])}"
        f"{' LIMIT $most' if bounded else ''} WHERE matched > 0"
        f" RETURN collect([parent, [{', '.join(values)}]])"
    )


def _group(source: Source, group: str | Bucket) -> str:
    """What rows are grouped by. Of values that are none of their column's type it is what is shown of them."""
    if isinstance(group, str):
        form, ref = source.form(group), source.ref(group)
        if not form.is_careful:
            return form.value(ref)
        known = form.wire(form.value(ref))
        if form.type in (Type.TIME, Type.CLOCK):  # their text has the value more than once
            known = f"head([value IN [{form.value(ref)}] | {form.wire('value')}])"
        return f"coalesce({known}, {form.shown(ref)})"
    form, ref = source.form(group.column), source.ref(group.column)
    if not form.is_careful:
        return f"CASE WHEN {ref} IS NOT NULL THEN datetime.truncate('{group.interval}', {ref}) END"
    start = f"CASE WHEN value IS NOT NULL THEN datetime.truncate('{group.interval}', value) END"
    return f"coalesce(head([value IN [{form.value(ref)}] | head([start IN [{start}] | {form.wire('start')}])]), {form.shown(ref)})"


def _shown_group(source: Source, group: str | Bucket, name: str) -> str:
    form = source.form(group if isinstance(group, str) else group.column)
    return name if form.is_careful else form.wire(name)


def _shown_part(source: Source, part: Part, name: str) -> str:
    if part.function in ("min", "max"):
        return source.form(part.column).wire(name)
    return name


def aggregate_decoders(source: Source, aggregate: Aggregate) -> list[tuple[int, Decode]]:
    """The functions from what the driver gives to the values of groups and of measures' parts, by their places."""
    found: list[tuple[int, Decode]] = []
    for place, column in enumerate(aggregate.group_columns):
        form = source.form(column.name)
        decode = _group_of(form) if form.is_careful else form.decode
        if decode is not None:
            found.append((place, decode))
    for place, part in enumerate(parts(source.collection, aggregate.measures), len(aggregate.groups)):
        if not part.column:
            continue
        form = source.form(part.column)
        if part.function in ("min", "max") and form.type is Type.DECIMAL:
            found.append((place, _either(form)))
        elif part.function == "total" and form.type is Type.DECIMAL:
            found.append((place, _total_of(form.is_careful)))
    return found


def _group_of(form: Form) -> Decode:
    """What rows are grouped by; what is none of its type is told from what is, for it stands behind it."""
    column, decode = form.column, _either(form)

    def group(value: Any) -> Value:
        value = decode(value)
        found = found_in_place_of(column, value)
        return value if found is None or isinstance(value, Unreadable) else Unreadable(found)

    return group


def _either(form: Form) -> Decode:
    """A DECIMAL of its sortable text, where it is held to its type; what else was found as ever."""
    column, decode = form.column, form.decode
    is_sortable = column.type is Type.DECIMAL and form.is_careful

    def either(value: Any) -> Value:
        if is_sortable and isinstance(value, str):
            return of_sortable(column, value)
        return value if decode is None else decode(value)

    return either


def _total_of(is_careful: bool) -> Decode:
    """The exact sum of DECIMALs, as text, of their sortable texts; or of whole numbers in two halves, and of FLOATs."""

    def of_texts(texts: Any) -> Value:
        return str(decimal_sum(map(str, map(unsorted, texts))))

    def of_halves(halves: Any) -> Value:
        scale, high, low, others = halves
        whole = Decimal(high * HALF + low).scaleb(-scale, EXACT)
        return f"{decimal_sum([str(whole), *map(repr, others)]):f}"

    return of_texts if is_careful else of_halves


def _measure(source: Source, part: Part) -> str:
    if part.function == "count":
        return "count(*)"
    form, ref = source.form(part.column), source.ref(part.column)
    value = form.value(ref)
    match part.function:
        case "min" | "max" if form.column.collation == "nocase":
            return f"{part.function}(CASE WHEN {value} IS NOT NULL THEN [{form.comparable(ref)}, {value}] END)[1]"
        case "min" | "max":
            return f"{part.function}({value})"
        case "number":
            return f"count({value})"
        case "high":
            return f"sum({value} / {HALF})"  # cut towards zero, as % is
        case "low":
            return f"sum({value} % {HALF})"
        case _ if form.type is Type.DECIMAL:
            return f"collect({value})" if form.is_careful else _decimal_total(ref, form.column.scale)
        case _:
            is_cut = f"abs({value}) >= {CUT_MIN!r} AND abs({value}) < {CUT_LIMIT!r}"
            pieces = [f"sum(CASE WHEN {is_cut} THEN toInteger({value} * {scale!r} % {PIECE}.0) ELSE 0 END)" for scale in PIECES]
            return f"[{', '.join(pieces)}, sum(CASE WHEN {is_cut} THEN 0.0 ELSE {value} END)]"


def _decimal_total(ref: str, scale: int | None) -> str:
    """The sum of FLOATs that are DECIMALs: of those which are whole numbers of their scale in two halves, and a list of the others."""
    if scale is None or scale > 15:
        return f"[0, 0, 0, collect({ref})]"
    unit = 10**scale
    is_whole, whole = f"abs({ref}) < {WHOLE_LIMIT / unit!r}", f"toInteger(round({ref} * {unit}.0))"
    halves = [f"sum(CASE WHEN {is_whole} THEN {whole} {sign} {HALF} ELSE 0 END)" for sign in "/%"]
    return f"[{scale}, {halves[0]}, {halves[1]}, collect(CASE WHEN {is_whole} THEN null ELSE {ref} END)]"
