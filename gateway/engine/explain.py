"""Show a plan, and what happened when it ran: data for ``extensions``, text for a terminal. Values of a request are not shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gateway.context import StoreCall
from gateway.engine.plan import Plan

MOST_ITEMS = 10  # of a list inside a statement: a pipeline holds its keys


def describe(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON: levels, the batches of each, what every batch asks."""
    described: dict[str, Any] = {"operation": plan.operation.value}
    if plan.introspected:
        described["introspection"] = [field.key for field in plan.introspected]
    if plan.series:
        described["series"] = [{"levels": _levels(part)} for part in plan.series]
    else:
        described["levels"] = _levels(plan)
    return described


def describe_calls(calls: Iterable[StoreCall]) -> list[dict[str, Any]]:
    """Return what the stores were asked, in the order of asking, with times from which a waterfall can be drawn."""
    return [
        {
            "store": call.store,
            "kind": call.kind,
            "collection": call.collection,
            "operation": call.operation,
            "keys": call.keys,
            "rows": call.rows,
            "startMs": call.started_ms,
            "durationMs": call.duration_ms,
            "statements": [_bounded(statement) for statement in call.statements],
            **({"coalesced": call.coalesced} if call.coalesced else {}),
            **({} if call.stale_s is None else {"staleSeconds": call.stale_s}),
            **({} if call.error is None else {"error": call.error}),
        }
        for call in calls
    ]


def text_of(plan: Plan) -> str:
    """Return the plan for a person to read: a line per batch, indented by level."""
    lines = [plan.operation.value]
    lines += [f"introspection, by graphql-core: {', '.join(field.key for field in plan.introspected)}"] if plan.introspected else []
    for part in plan.series or [plan]:
        for number, level in enumerate(_levels(part)):
            lines.append(f"level {number}")
            lines += [f"  {_line(batch)}" for batch in level]
    return "\n".join(lines)


def _levels(plan: Plan) -> list[list[dict[str, Any]]]:
    levels: list[list[dict[str, Any]]] = [[] for _ in plan.levels]
    for place in plan.places:
        assert place.source is not None
        for number, line in place.source.explain(place):
            levels[number].append(line)
    return levels


def _line(batch: dict[str, Any]) -> str:
    elsewhere = batch.get("function") or batch.get("column") or "graphql-core"
    where = f"{batch['store']}.{batch['collection']}" if "store" in batch else elsewhere
    notes: Sequence[str] = [
        note
        for note in (
            f"by {batch['by']}" if "by" in batch else "",
            "count" if batch.get("totalCount") else "",
            "no rows" if batch.get("rows") is False else "",
            batch.get("cut", ""),
            "cursors" if batch.get("cursors") else "",
            "arguments by request" if batch["arguments"] == "by request" else "",
            f"rows left out without {', '.join(batch['leftOutWithout'])}" if "leftOutWithout" in batch else "",
        )
        if note
    ]
    return f"{batch['path']}: {batch['kind']} {where}({', '.join(batch['columns'])})" + (f"  [{'; '.join(notes)}]" if notes else "")


def _bounded(value: Any) -> Any:
    """Return a statement as JSON, with long lists cut."""
    if isinstance(value, dict):
        return {str(name): _bounded(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        shown = [_bounded(item) for item in value[:MOST_ITEMS]]
        return [*shown, f"… {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else shown
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
