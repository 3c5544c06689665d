"""``gateway audit``: who wrote what, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.reading import GraphOption, called, read
from gateway.cli.telling import naming_urls, say, say_error
from gateway.cli.times import moment_of
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph
    from gateway.writes.auditing import Asked, Entry

LIMIT = 50
CHANGES_LIMIT = 160  # characters of what has changed, in the table
TimeText = typer.Option(metavar="TIME", help="2026-01-31, 2026-01-31T12:00:00Z, or an age: 90m, 6h, 7d.")

audit_cli = typer.Typer()


@audit_cli.command()
def audit(
    user: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Only what this subject wrote.")] = None,
    noun: Annotated[str | None, typer.Option(metavar="NAME", help="Only writes of this collection, or of this type.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only writes of the row of this key; with --noun.")] = None,
    since: Annotated[str | None, TimeText] = None,
    until: Annotated[str | None, TimeText] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = LIMIT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the rows before and after.")] = False,
    graph_name: GraphOption = None,
) -> None:
    """Print who wrote what, when, and what was refused, newest first.

    Of all stores that have an audit. One in a store of its own (Graph.audit) is delivered there: its newest rows come a moment later.
    """
    if key is not None and noun is None:
        raise ConfigError(f"--key {key}: expected --noun with it, which says of what it is the key")
    graph, settings = read(graph_name)
    if not graph.logged:
        raise ConfigError(f"{called(graph_name)}: expected a graph that writes (a Mutation, or replication), got one that only reads")

    from gateway.writes.auditing import Asked

    asked = Asked(
        subject=user,
        noun=None if noun is None else _collection_named(graph, noun),
        key=key,
        since=None if since is None else moment_of("--since", since),
        until=None if until is None else moment_of("--until", until),
    )
    with naming_urls(settings):
        found = asyncio.run(_found(settings, graph, asked, limit))
    if as_json:
        import orjson

        say(orjson.dumps([_told(entry) for entry in found], option=orjson.OPT_INDENT_2).decode())
        return
    if not found:
        say("Nothing of that is in the audit.")
        names = [collection.name for collection in graph.collections if collection.managed]
        if asked.noun is not None and asked.noun not in names:
            say_error(f"--noun {noun}: no managed collection of {called(graph_name)}, which has {', '.join(names)}")
        return
    _say_table([_line(entry) for entry in found])
    if len(found) == limit:
        say(f"The newest {limit:,}; --limit has more, where there are more.")


def _collection_named(graph: Graph, noun: str) -> str:
    """Return the name of a type's collection, or what was given: the audit may have writes of what the graph has no more."""
    return next((collection.name for collection in graph.collections if collection.type_name == noun), noun)


async def _found(settings: Settings, graph: Graph, asked: Asked, limit: int) -> list[Entry]:
    from gateway.preparing import looked_into
    from gateway.relaying import homes_of
    from gateway.writes.auditing import entries

    async with looked_into(settings, graph) as stores:
        return await entries(stores, list(homes_of(stores, graph)), asked, limit)


def _told(entry: Entry) -> dict[str, Any]:
    names = ("store", "id", "at", "subject", "field", "noun", "key", "action", "version", "before", "after", "error")
    return {**{name: getattr(entry, name) for name in names}, "requestId": entry.request_id}


def _line(entry: Entry) -> tuple[str, ...]:
    what = "" if entry.noun is None else entry.noun if entry.key is None else f"{entry.noun} {entry.key}"
    version = "" if entry.version is None else str(entry.version)
    return tuple(map(_printable, (entry.at, entry.subject, entry.field or "-", entry.action, what or "-", version or "-", _changes(entry))))


def _changes(entry: Entry) -> str:
    """Return what an update changed, what else was written, or why it was refused; cut where it is long."""
    import orjson

    def shown(value: Any) -> str:
        return orjson.dumps(value).decode()

    if entry.error is not None:
        text = f"{entry.error.get('code')}: {entry.error.get('message')}"
    elif entry.before is not None and entry.after is not None:
        before, after = entry.before, entry.after
        changed = [name for name in after if name not in before or before[name] != after[name]]
        text = ", ".join(f"{name}: {shown(before.get(name))} -> {shown(after[name])}" for name in changed)
    else:
        row: Mapping[str, Any] = entry.after or entry.before or {}
        text = ", ".join(f"{name}: {shown(value)}" for name, value in row.items() if value not in (None, [], {}))
    return text if len(text) <= CHANGES_LIMIT else f"{text[: CHANGES_LIMIT - 1]}…"


def _printable(text: str) -> str:
    """Return a text of one line: what clients wrote may have control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _say_table(lines: Sequence[tuple[str, ...]]) -> None:
    rows = [("AT", "USER", "FIELD", "ACTION", "WHAT", "VERSION", "CHANGES"), *lines]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    for row in rows:
        say("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]).rstrip())
