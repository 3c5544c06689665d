"""Which records a filter lets through: two-valued logic, in Python's words."""

from __future__ import annotations

from typing import Any

from tests.oracle.scalars import BadInputError, key_of

Record = dict[str, Any]

# The fields of a filter that hold ids, and of which type.
ID_FIELDS = {
    ("User", "id"): "User",
    ("Post", "id"): "Post",
    ("Post", "authorId"): "User",
    ("Event", "id"): "Event",
    ("Event", "userId"): "User",
    ("Event", "postId"): "Post",
}


def matches(type_name: str, record: Record, where: dict[str, Any] | None) -> bool:
    """Say whether ``record`` fulfils every field of ``where``. None, like {}, lets everything through."""
    return all(_holds(type_name, record, field, asked) for field, asked in (where or {}).items())


def matches_everything(where: dict[str, Any] | None) -> bool:
    """Say whether ``where`` asks for nothing at all, so that nobody has to look at a record."""
    for field, asked in (where or {}).items():
        if field in ("and", "or", "not") and asked is None:
            continue
        if not (all(map(matches_everything, asked)) if field == "and" else asked == {} and field not in ("or", "not")):
            return False
    return True


def check_ids(type_name: str, where: dict[str, Any] | None) -> None:
    """Raise BadInputError where an id in a filter is one of another type."""
    for field, asked in (where or {}).items():
        if field in ("and", "or"):
            for item in asked or []:
                check_ids(type_name, item)
        elif field == "not":
            check_ids(type_name, asked)
        elif (type_name, field) in ID_FIELDS and asked is not None:
            for value in (asked.get("eq"), asked.get("ne"), *(asked.get("in") or [])):
                if value is not None:
                    key_of(ID_FIELDS[type_name, field], value)


def _holds(type_name: str, record: Record, field: str, asked: Any) -> bool:
    if field in ("and", "or", "not") and asked is None:
        return True  # as if it were absent
    if field == "and":
        return all(matches(type_name, record, item) for item in asked)
    if field == "or":
        return any(matches(type_name, record, item) for item in asked)
    if field == "not":
        return not matches(type_name, record, asked)
    value = record[field]
    if not isinstance(asked, dict):
        return bool(value == asked)  # a Boolean, or an explicit null, which matches null
    id_type = ID_FIELDS.get((type_name, field))
    return all(compare(value, operator, _keys(id_type, operand)) for operator, operand in asked.items())


def _keys(id_type: str | None, operand: Any) -> Any:
    if id_type is None or operand is None:
        return operand
    if isinstance(operand, list):
        return [key_of(id_type, item) for item in operand]
    return key_of(id_type, operand)


def compare(value: Any, operator: str, operand: Any) -> bool:
    """Say whether ``value`` is to ``operand`` as the operator wants it; eq and ne alone know null."""
    if operator == "eq":
        return bool(value == operand)
    if operator == "ne":
        return bool(value != operand)
    if value is None or operand is None:
        return False
    match operator:
        case "in":
            return value in operand
        case "contains":
            return operand in value
        case "startsWith":
            return bool(value.startswith(operand))
        case "gt":
            return bool(value > operand)
        case "gte":
            return bool(value >= operand)
        case "lt":
            return bool(value < operand)
        case "lte":
            return bool(value <= operand)
    raise BadInputError(f"No operator {operator}.")
