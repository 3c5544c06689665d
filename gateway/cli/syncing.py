"""``gateway sync`` and what is below it: where writes are, and what can be done about them. Safe beside live writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.reading import GraphOption, TenantOption, called, read
from gateway.cli.telling import FAILED, naming_urls, row_bar, say, say_error
from gateway.cli.times import age_of, moment_of
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph
    from gateway.stores import Stores
    from gateway.writes.comparing import Comparison, Report
    from gateway.writes.keeping import Keeping, Parked

TargetOption = Annotated[list[str] | None, typer.Option("--target", metavar="NAME", help="A target; may be given again.  [default: all]")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
IdArgument = Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="Those with these ids, as list shows them.")]
AllOption = Annotated[bool, typer.Option("--all", help="All that are parked.")]

sync_cli = typer.Typer(help="Where writes are on their way to other stores, and what can be done about them.", no_args_is_help=True)
parked_cli = typer.Typer(help="Deliveries that a target refused too often, and that wait for you.", no_args_is_help=True)
sync_cli.add_typer(parked_cli, name="parked")


@sync_cli.command()
def status(as_json: JsonOption = False, graph_name: GraphOption = None) -> None:
    """Print how far each target is behind, and what is pending and parked; end with 1 where one lags, or has something parked.

    A target lags when the oldest write it has yet to hear of is older than the setting relay_lag_max_s. Of writes in the log that have no
    position yet, of which nobody hears who subscribes, it says how many there are, and how old the oldest is.
    """
    graph, settings = _read(graph_name)
    with naming_urls(settings):
        found = asyncio.run(_status(settings, graph))
    if as_json:
        import orjson

        say(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        for home in found["homes"]:
            beat = home["heartbeatAgeSeconds"]
            say(f"{home['store']}: {'no relay was ever at work' if beat is None else f'a relay was at work {beat:.0f} s ago'}")
            log = home["log"]
            if log["unpositioned"]:
                say(f"  log: {log['unpositioned']:,} without a position, the oldest {log['lagSeconds']:.1f} s old")
            for target in home["targets"]:
                known = "" if target["isDeclared"] else ", which the graph has no more"
                said = f"{target['pending']:,} pending, {target['parked']:,} parked, {target['lagSeconds']:.1f} s behind"
                say(f"  {target['target']}: {said}{known}")
    if not found["isWell"]:
        raise typer.Exit(FAILED)


@parked_cli.command("list")
def parked_list(target: TargetOption = None, as_json: JsonOption = False, graph_name: GraphOption = None) -> None:
    """Print what is parked: its id, its target, which row at which version, and why."""
    graph, settings = _read(graph_name)
    _named(graph, graph_name, target)

    async def work(stores: Stores) -> list[Parked]:
        return [parked async for _, parked in _parked(stores, graph, target or (), ())]

    found = _run(settings, graph, work)
    if as_json:
        import orjson

        say(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    for its in found:
        say(f"{its.outbox} {its.target}: {its.noun} {its.key} at version {its.version}, {its.attempts} attempts: {its.error}")
    if not found:
        say("Nothing is parked.")


@parked_cli.command("retry")
def parked_retry(ids: IdArgument = None, all_: AllOption = False, target: TargetOption = None, graph_name: GraphOption = None) -> None:
    """Have parked deliveries tried again, from their first attempt."""
    _each_parked(graph_name, ids, all_, target, "retried", lambda keeping, parked: keeping.retry(parked))


@parked_cli.command("skip")
def parked_skip(ids: IdArgument = None, all_: AllOption = False, target: TargetOption = None, graph_name: GraphOption = None) -> None:
    """Drop parked deliveries: their targets differ until the rows are written again, or repaired."""
    _each_parked(graph_name, ids, all_, target, "skipped", lambda keeping, parked: keeping.skip(parked))


@sync_cli.command()
def replay(
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="2026-01-31, 2026-01-31T12:00:00Z, or an age: 90m, 6h, 7d.")],
    target: TargetOption = None,
    graph_name: GraphOption = None,
) -> None:
    """Deliver again what was written since then. What a target has already changes nothing there; follow-ups are not run again."""
    graph, settings = _read(graph_name)
    names, moment = _named(graph, graph_name, target), moment_of("--since", since)

    async def work(stores: Stores) -> int:
        total = 0
        for home, keeping in _keepings(stores, graph):
            targets = [one for one in graph.replication if one.name in names and stores[one.source.store] is stores[home]]
            with row_bar(f"replay {home}", None) as done:
                total += await keeping.replay(targets, moment, done)
        return total

    say(f"Delivered {_run(settings, graph, work):,} again, by the relay that runs.")


@sync_cli.command()
def verify(target: TargetOption = None, as_json: JsonOption = False, graph_name: GraphOption = None) -> None:
    """Compare every row of each source with what its targets have; end with 1 where they differ. Writes nothing.

    What differs because a write is still on its way is told apart.
    """
    graph, settings = _read(graph_name)
    reports = _compare(settings, graph, _named(graph, graph_name, target), "verify", _verify)
    if as_json:
        import orjson

        say(orjson.dumps(reports, option=orjson.OPT_INDENT_2).decode())
    else:
        for report in reports:
            _tell(report)
    if any(report.differences for report in reports):
        raise typer.Exit(FAILED)


@sync_cli.command()
def repair(target: TargetOption = None, graph_name: GraphOption = None) -> None:
    """Verify, and mend what differs, through the same gate that deliveries go through; end with 1 where something is left."""
    graph, settings = _read(graph_name)
    reports = _compare(settings, graph, _named(graph, graph_name, target), "repair", _repair)
    _conclude(reports)


@sync_cli.command()
def rebuild(
    target: Annotated[list[str], typer.Option("--target", metavar="NAME", help="A target; may be given again.")],
    graph_name: GraphOption = None,
) -> None:
    """Write all that a target should have anew, from the rows of its source, and delete what it should not have."""
    graph, settings = _read(graph_name)
    _conclude(_compare(settings, graph, _named(graph, graph_name, target), "rebuild", _rebuild))


@sync_cli.command()
def prune(
    outbox: Annotated[str, typer.Option(metavar="AGE", help="Of writes that all targets have heard of; cursors hold as long.")] = "7d",
    idempotency: Annotated[str, typer.Option(metavar="AGE", help="Of outcomes of idempotency keys.")] = "24h",
    audit: Annotated[str | None, typer.Option(metavar="AGE", help="Of the audit.  [default: kept]")] = None,
    graph_name: GraphOption = None,
    tenant: TenantOption = None,
) -> None:
    """Delete old rows of the log. What a target has yet to hear of, or has parked, stays."""
    graph, settings = _read(graph_name, tenant)
    ages = {"outbox": age_of("--outbox", outbox), "idempotency": age_of("--idempotency", idempotency)}
    if audit is not None:
        ages["audit"] = age_of("--audit", audit)

    from gateway.writes.declarations import Cascade

    async def work(stores: Stores) -> list[str]:
        lines = []
        cascades = [target.name for target in graph.replication if isinstance(target, Cascade)]
        opened = [await keeping.open_since(cascades) for _, keeping in _keepings(stores, graph)]
        kept_since = min((at for at in opened if at is not None), default=None)
        for home, keeping in _keepings(stores, graph):
            with row_bar(f"prune {home}", None) as done:
                deleted = await keeping.prune(ages, done, kept_since=kept_since)
            lines.append(f"{home}: deleted {', '.join(f'{count:,} of {name}' for name, count in deleted.items())}")
        return lines

    for line in _run(settings, graph, work):
        say(line)


@sync_cli.command()
def epoch(
    raise_: Annotated[bool, typer.Option("--raise", help="Count it up by one, after a restore of the store from a backup.")] = False,
    store: Annotated[str | None, typer.Option("--store", metavar="NAME", help="The store.  [default: all that are written]")] = None,
    graph_name: GraphOption = None,
    tenant: TenantOption = None,
) -> None:
    """Print how often each store was restored. With --raise all its versions from now on are newer; rebuild its targets afterwards.

    Cursors of subscriptions from before it expire.
    """
    graph, settings = _read(graph_name, tenant)

    async def work(stores: Stores) -> list[str]:
        lines = []
        for home, keeping in _keepings(stores, graph):
            if store is None or stores[home] is stores[store]:
                lines.append(f"{home}: epoch {await (keeping.raise_epoch() if raise_ else keeping.epoch())}")
        return lines

    if store is not None and store not in graph.logged:
        raise ConfigError(f"--store {store}: expected a store that is written; {called(graph_name)} has {', '.join(sorted(graph.logged))}")
    for line in _run(settings, graph, work):
        say(line)


# -------------------------------------------------------------------------------------------------------------- helpers


def _read(graph_name: str | None, tenant: str | None = None) -> tuple[Graph, Settings]:
    graph, settings = read(graph_name, tenant)
    if not graph.logged:
        raise ConfigError(f"{called(graph_name)}: expected a graph that writes (a Mutation, or replication), got one that only reads")
    return graph, settings


def _named(graph: Graph, graph_name: str | None, names: Sequence[str] | None) -> list[str]:
    known = [target.name for target in graph.replication]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"--target {name}: no such target; {called(graph_name)} has {', '.join(known) or 'none'}")
    return list(dict.fromkeys(names)) if names else known


def _run(settings: Settings, graph: Graph, work: Callable[[Stores], Any]) -> Any:
    async def run() -> Any:
        from gateway.preparing import opened

        async with opened(settings, graph) as stores:
            return await work(stores)

    with naming_urls(settings):
        return asyncio.run(run())


def _keepings(stores: Stores, graph: Graph) -> list[tuple[str, Keeping]]:
    from gateway.relaying import homes_of
    from gateway.writes.keeping import Keeping

    return [(home, Keeping(stores, home)) for home in homes_of(stores, graph)]


async def _status(settings: Settings, graph: Graph) -> dict[str, Any]:
    from gateway.preparing import opened
    from gateway.relaying import homes_of
    from gateway.writes.own import Own
    from gateway.writes.watching import heartbeat_at, log_of, standings

    homes, is_well = [], True
    known = {target.name for target in graph.replication}
    async with opened(settings, graph) as stores:
        for home, targets in homes_of(stores, graph).items():
            beat, now = await heartbeat_at(Own(stores), home), time.time()
            log = await log_of(Own(stores), home)
            found = []
            for its in await standings(stores, home, targets):
                if its.target not in targets and its.target in known:  # of another home, which is one database with this one for now
                    continue
                lag = its.lag_s(now)
                is_well = is_well and not its.parked and lag <= settings.relay_lag_max_s
                counted = {"target": its.target, "pending": its.pending, "parked": its.parked, "lagSeconds": round(lag, 3)}
                found.append({**counted, "isDeclared": its.target in targets})
            age = None if beat is None else round(max(0.0, now - beat), 3)
            told = {"unpositioned": log.unpositioned, "lagSeconds": round(log.lag_s(now), 3)}
            homes.append({"store": home, "heartbeatAgeSeconds": age, "log": told, "targets": found})
    return {"isWell": is_well, "lagMaxSeconds": settings.relay_lag_max_s, "homes": homes}


async def _parked(stores: Stores, graph: Graph, targets: Sequence[str], ids: Sequence[str]) -> AsyncIterator[tuple[Keeping, Parked]]:
    for _, keeping in _keepings(stores, graph):
        async for parked in keeping.parked(targets, ids):
            yield keeping, parked


def _each_parked(
    graph_name: str | None, ids: list[str] | None, all_: bool, target: list[str] | None, done: str, act: Callable[[Keeping, Parked], Any]
) -> None:
    if bool(ids) is all_:
        raise ConfigError("gateway sync parked: expected ids of what is parked, or --all" + (", got both" if ids else ""))
    graph, settings = _read(graph_name)
    _named(graph, graph_name, target)

    async def work(stores: Stores) -> int:
        found = [item async for item in _parked(stores, graph, target or (), ids or ())]
        missing = set(ids or ()) - {parked.outbox for _, parked in found}
        if missing:
            raise ConfigError(f"{', '.join(sorted(missing))}: expected ids of what is parked (gateway sync parked list)")
        return sum([bool(await act(keeping, parked)) for keeping, parked in found])

    say(f"{_run(settings, graph, work):,} {done}.")


def _compare(settings: Settings, graph: Graph, names: Sequence[str], verb: str, work: Callable[..., Any]) -> list[Report]:
    async def compare(stores: Stores) -> list[Report]:
        from gateway.relaying import relay_of
        from gateway.writes.comparing import Report, comparison_of

        reports = []
        appliers = relay_of(stores, graph).appliers
        for name in names:
            comparison = comparison_of(appliers[name], stores)
            if comparison is None:
                continue
            report = Report(name)
            with row_bar(f"{verb} {name}", await comparison.size()) as done:
                await work(comparison, report, done)
            reports.append(report)
        return reports

    found: list[Report] = _run(settings, graph, compare)
    return found


async def _verify(comparison: Comparison, report: Report, done: Callable[[int], None]) -> None:
    await comparison.verify(report, done)


async def _repair(comparison: Comparison, report: Report, done: Callable[[int], None]) -> None:
    await comparison.verify(report, done)
    await comparison.mend([difference.key for difference in report.differences], report)


async def _rebuild(comparison: Comparison, report: Report, done: Callable[[int], None]) -> None:
    await comparison.rebuild(report, done)


SHOWN = 20  # of what differs


def _tell(report: Report) -> None:
    on_their_way = f", {report.pending:,} on their way" if report.pending else ""
    say(f"{report.target}: {report.rows:,} rows in {report.buckets:,} buckets, {len(report.differences):,} differ{on_their_way}")
    for difference in report.differences[:SHOWN]:
        say(f"  {difference.key}: {difference.kind}")
    if len(report.differences) > SHOWN:
        say(f"  and {len(report.differences) - SHOWN:,} more (--json has all)")


def _conclude(reports: Sequence[Report]) -> None:
    for report in reports:
        say(f"{report.target}: {report.rows:,} rows, {report.mended:,} written")
        for key, reason in report.failures.items():
            say_error(f"{report.target}: {key}: {reason}")
    if any(report.failures for report in reports):
        raise typer.Exit(FAILED)
