"""``gateway move``: have a store go to another database while it is served."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.reading import GraphOption, called, read
from gateway.cli.running import listed, refuse_wrong
from gateway.cli.telling import FAILED, naming_urls, row_bar, say
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph
    from gateway.stores import Stores
    from gateway.writes.comparing import Report
    from gateway.writes.moving import Mover

move_cli = typer.Typer()

SHOWN = 20  # of what differs
STEP_S = 0.5  # between two looks at how far the log is


@move_cli.command()
def move(
    noun: Annotated[str, typer.Argument(metavar="NOUN", help="A store of the graph: all of its collections move together.")],
    to: Annotated[str | None, typer.Option("--to", metavar="URL", help="Where to.  [default: stores.NOUN.candidate]")] = None,
    back: Annotated[bool, typer.Option("--back", help="Take it back: to where it was, or give up what has not switched.")] = False,
    stay: Annotated[bool, typer.Option("--stay", help="Keep both in step until the command is ended, and do not switch.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Print how far it is, and change nothing.")] = False,
    graph_name: GraphOption = None,
) -> None:
    """Move a noun to another database while it is served: copy, follow, compare, and switch.

    It may be ended at any time; the same command goes on from there. Ends with 1 where both sides differ, or it could not switch.
    """
    if back + stay + status > 1:
        raise ConfigError("gateway move: expected one of --back, --stay and --status")
    graph, settings = read(graph_name)
    settings, is_known = _with_candidate(settings, graph, graph_name, noun, to)
    _refuse(graph, settings, noun)
    with naming_urls(settings):
        if status:
            asyncio.run(_status(settings, graph, noun))
        elif back:
            asyncio.run(_back(settings, graph, noun))
        else:
            asyncio.run(_move(settings, graph, noun, is_known=is_known, stays=stay))


# -------------------------------------------------------------------------------------------------------------- refusals


def _with_candidate(settings: Settings, graph: Graph, graph_name: str | None, noun: str, to: str | None) -> tuple[Settings, bool]:
    """Return the settings with a candidate for the store, and whether they had it themselves."""
    from gateway.config import hidden
    from gateway.stores.kinds import expected_urls, normal_url

    if noun not in graph.store_names:
        raise ConfigError(f"gateway move {noun}: no such store; {called(graph_name)} has {', '.join(graph.store_names)}")
    store = settings.stores[noun]
    if to is None:
        if not store.candidate:
            raise ConfigError(f"gateway move {noun}: expected --to URL, or the setting stores.{noun}.candidate")
        return settings, True
    try:
        url = normal_url(to)
    except ValueError:
        raise ConfigError(f"--to {hidden(to)}: expected {expected_urls()}") from None
    if store.candidate and store.candidate != url:
        raise ConfigError(f"--to {hidden(to)}: expected the candidate of the settings (stores.{noun}.candidate), {hidden(store.candidate)}")
    if url == store.url:
        raise ConfigError(f"--to {hidden(to)}: expected another database than that of stores.{noun}.url")
    if store.replicas:
        raise ConfigError(f"--to {hidden(to)}: expected a store without replicas while it is moved; stores.{noun}.replicas has some")
    stores = settings.stores | {noun: store.model_copy(update={"candidate": url})}
    return settings.model_copy(update={"stores": stores}), bool(store.candidate)


def _refuse(graph: Graph, settings: Settings, noun: str) -> None:
    """Refuse what cannot be moved, before anything is opened."""
    from gateway.stores.kinds import kind_of, kinds_of
    from gateway.stores.kinds import listed as abilities
    from gateway.writes.declarations import Replica

    where = f"gateway move {noun}"
    its = [collection for collection in graph.collections if collection.store == noun]
    others = [collection.name for collection in its if not collection.managed]
    if others:
        raise ConfigError(f"{where}: expected managed collections alone, as others have no log to follow; got {', '.join(others)}")
    if noun not in graph.logged:
        raise ConfigError(f"{where}: expected a store that the graph writes, as one that is only read has no log to follow")
    for target in graph.replication:
        if isinstance(target, Replica) and target.target.store == noun:
            raise ConfigError(f"{where}: expected a store that is written by mutations alone; {target.name} writes there past its log")
    if graph.audit == noun:
        raise ConfigError(f"{where}: expected another store than that of the audit, which is written past its log")
    kinds = kinds_of(settings.urls)
    kind = kind_of(settings.stores[noun].candidate)
    assert kind is not None
    if not kind.shares_pools or not kinds[noun].shares_pools:
        raise ConfigError(f"{where}: expected databases that other processes see, got one of kind memory")
    lacks = kinds[noun].can - kind.can
    if lacks:
        raise ConfigError(f"{where}: expected a candidate that can {abilities(lacks)}, as its store does; one of kind {kind.name} cannot")
    refuse_wrong(graph, {**kinds, noun: kind})


async def _refuse_standing_alone(stores: Stores, noun: str) -> None:
    from gateway.stores.moves import candidate_of

    for name in (noun, candidate_of(noun)):
        await stores.ping(name)
        if not await stores.can_transact(name):
            raise ConfigError(
                f"gateway move {noun}: expected databases with transactions of several rows; {name} has none (a replica set has)"
            )


# ------------------------------------------------------------------------------------------------------------------ work


async def _move(settings: Settings, graph: Graph, noun: str, *, is_known: bool, stays: bool) -> None:
    from gateway.preparing import opened
    from gateway.writes.own import end
    from gateway.writes.placing import COPYING

    async with opened(settings, graph) as stores:
        await _refuse_standing_alone(stores, noun)
        carrier = _carrier(stores, graph, noun)
        async with carrier.alone():
            found = await carrier.recovered()
            if found is not None and found.generation % 2:
                say(f"{noun}: it is at home there already. gateway move {noun} --back takes it back")
                return
            await _prepare(stores, graph, settings, noun)
            state = await carrier.begin(_called(stores, noun))
            if state.phase == COPYING:
                with row_bar(f"copy {noun}", await carrier.size()) as done:
                    state = await carrier.copy(state, done)
                say(f"{noun}: copied")
            following = asyncio.create_task(carrier.follow())
            try:
                await _in_step(carrier, following)
                await _verified(carrier, following)
                say(f"{noun}: the candidate has the same")
                if stays:
                    say(f"{noun}: both are kept in step, until this command is ended")
                    await following
            finally:
                await end([following])
            if not is_known:
                said = f"set stores.{noun}.candidate for all of them, and run this again"
                say(f"{noun}: not switched, as processes that serve know nothing of the candidate: {said}")
                raise typer.Exit(FAILED)
            await _switch(carrier)
    say(f"{noun}: it is at home there now. gateway move {noun} --back takes it back, for as long as the settings name both")


async def _back(settings: Settings, graph: Graph, noun: str) -> None:
    from gateway.preparing import opened
    from gateway.writes.own import end

    async with opened(settings, graph) as stores:
        carrier = _carrier(stores, graph, noun)
        async with carrier.alone():
            state = await carrier.recovered()
            if state is None:
                say(f"{noun}: it was never moved")
                return
            if state.generation % 2 == 0:
                if state.generation:
                    say(f"{noun}: it is where it was")
                    return
                if not await carrier.drop(state):
                    raise ConfigError(f"{noun}: another command goes on with its move")
                say(f"{noun}: given up; what was copied stays at the candidate, and has to go before it is moved there again")
                return
            following = asyncio.create_task(carrier.follow())
            try:
                await _in_step(carrier, following)
                await _verified(carrier, following)
            finally:
                await end([following])
            await _switch(carrier)
    say(f"{noun}: it is at home where it was")


async def _status(settings: Settings, graph: Graph, noun: str) -> None:
    from gateway.preparing import looked_into

    async with looked_into(settings, graph) as stores:
        carrier = _carrier(stores, graph, noun)
        state = await carrier.place.move()
        if state is None:
            say(f"{noun}: it was never moved")
            return
        where = "at its candidate" if state.generation % 2 else "where it was"
        say(f"{noun}: {state.phase}, at home {where}; the candidate is {state.to}")
        say(f"  {await carrier.behind():,} positions of the log are not carried; {len(await carrier.place.members())} processes know of it")


async def _prepare(stores: Stores, graph: Graph, settings: Settings, noun: str) -> None:
    """Make the tables at the candidate, and see that it has what the graph declares."""
    from gateway.graph.looking import look
    from gateway.migrating import migrate
    from gateway.stores import Stores
    from gateway.stores.moves import candidate_of

    there = Stores({noun: stores[candidate_of(noun)]})
    for line in await migrate(there, graph, noun, lock_timeout_s=settings.migrate_lock_timeout_s):
        say(line)
    looked = await look(there, graph, [noun])
    if looked.problems:
        raise ConfigError(listed(f"The candidate of {noun} differs from the graph", looked.problems))


async def _in_step(carrier: Mover, following: asyncio.Task[None]) -> None:
    """Return when the log is carried but for what comes at this moment."""
    from gateway.writes.moving import NEAR_ROWS

    left = await carrier.behind()
    with row_bar(f"follow {carrier.name}", left) as done:
        while True:
            now = await carrier.behind()
            done(max(0, left - now))
            left = now
            if left <= NEAR_ROWS:
                return
            await _or(following, STEP_S)


async def _verified(carrier: Mover, following: asyncio.Task[None]) -> None:
    """Compare, mend what differs once, and end the command where something does still."""
    for attempt in (1, 2):
        with row_bar(f"verify {carrier.name}", await carrier.size()) as done:
            reports = await carrier.verify(done)
        if not any(report.differences for report in reports):
            return
        if attempt == 1:
            await carrier.mend(reports)
            await _or(following, STEP_S)
    _tell(reports)
    raise typer.Exit(FAILED)


def _tell(reports: list[Report]) -> None:
    for report in reports:
        say(f"{report.target}: {report.rows:,} rows, {len(report.differences):,} differ, {report.pending:,} on their way")
        for difference in report.differences[:SHOWN]:
            reason = report.failures.get(difference.key, "")
            say(f"  {difference.key}: {difference.kind}{f': {reason}' if reason else ''}")


async def _switch(carrier: Mover) -> None:
    state = await carrier.place.move()
    assert state is not None
    if (seconds := await carrier.unseen_s()) > 0:
        say(f"{carrier.name}: waiting {seconds:.0f} s, for processes that know of no candidate to see that it is moved")
    await carrier.seen()
    say(f"{carrier.name}: switching; its writes wait")
    await carrier.switch(state)


async def _or(task: asyncio.Task[None], seconds: float) -> None:
    """Return after so many seconds; raise what the task ends with."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), seconds)


def _carrier(stores: Stores, graph: Graph, noun: str) -> Mover:
    from gateway.writes.moving import Mover

    return Mover(stores, noun, [collection for collection in graph.collections if collection.store == noun])


def _called(stores: Stores, noun: str) -> str:
    assert stores.gate is not None
    return stores.gate.called[noun]
