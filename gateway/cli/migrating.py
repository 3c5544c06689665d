"""``gateway migrate`` and what is below it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.reading import GraphOption, TenantOption, called, read, read_all, settings_for
from gateway.cli.telling import FAILED, naming_urls, say, say_error, url_named
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph
    from gateway.migrating import Outcome
    from gateway.stores.migrating import Script

StoreOption = Annotated[str, typer.Option("--store", metavar="NAME", help="The store.")]

migrate_cli = typer.Typer(invoke_without_command=True)


@migrate_cli.callback()
def migrate(
    context: typer.Context,
    store: Annotated[list[str] | None, typer.Option("--store", metavar="NAME", help="A store; may be given again.")] = None,
    all_stores: Annotated[bool, typer.Option("--all", help="All stores, as without --store.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print each step or statement, and change nothing.")] = False,
    graph_name: GraphOption = None,
    tenant: TenantOption = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="The stores of all tenants that the settings name.")] = False,
) -> None:
    """Run the steps that wait in each store, or create what is missing: tables, collections, indexes, constraints.

    Only of collections that are managed. A store that fails does not hold the others up: each is told, and the command ends with 1.
    """
    if context.invoked_subcommand is not None:
        if store or all_stores or dry_run or graph_name or tenant or all_tenants:
            raise ConfigError(f"gateway migrate {context.invoked_subcommand}: expected its options behind its name")
        return
    if store and all_stores:
        raise ConfigError("gateway migrate: expected --store or --all, got both")
    if tenant and all_tenants:
        raise ConfigError("gateway migrate: expected --tenant or --all-tenants, got both")
    graph, settings = read_all(graph_name)
    names = _named(graph, graph_name, store) if store else graph.store_names
    if not all_tenants:
        its = settings_for(settings, tenant)
        _tell(asyncio.run(_migrate(its, graph, names, dry_run=dry_run)), its)
        return
    if not settings.tenants:
        raise ConfigError("--all-tenants: expected settings with a table for each tenant, got none; --tenant names one")
    failed = False
    for name in settings.tenants:
        its = settings_for(settings, name)
        say(f"{name}:")
        try:
            outcomes = asyncio.run(_migrate(its, graph, names, dry_run=dry_run))
        except ConfigError as error:  # such as a file that is not there: the other tenants are not to suffer for it
            say_error(f"{name}: failed: {error.message}")
            failed = True
            continue
        failed |= _told(outcomes, its)
    if failed:
        raise typer.Exit(FAILED)


@migrate_cli.command()
def status(graph_name: GraphOption = None, tenant: TenantOption = None) -> None:
    """Print where each history stands, by store and owner: what was run, what waits. Changes nothing."""
    graph, settings = read(graph_name, tenant)
    _tell(asyncio.run(_status(settings, graph)), settings)


@migrate_cli.command()
def new(
    store: StoreOption,
    text: Annotated[str, typer.Option("-m", "--message", metavar="TEXT", help="What it does, in a few words.")],
    graph_name: GraphOption = None,
    tenant: TenantOption = None,
) -> None:
    """Write the script that takes a store to what the graph declares: new tables, columns, indexes. It drops nothing."""
    graph, settings = read(graph_name, tenant)
    [name] = _named(graph, graph_name, [store])
    if graph.migrations is None:
        raise ConfigError(f"{called(graph_name)}: expected a graph with a folder of migrations, got one whose migrations is None")
    with naming_urls(settings):
        folder, scripts = asyncio.run(_new(settings, graph, name, text))
    if not scripts:
        say(f"{name}: has all that is declared, nothing to write")
    for script in scripts:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / script.file).open("x", encoding="utf-8") as file:
            file.write(script.text)
        say(f"{name}: wrote {folder / script.file}")
        for remark in script.remarks:
            say_error(f"{script.file}: {remark}")


@migrate_cli.command()
def down(
    store: StoreOption,
    to: Annotated[str | None, typer.Option("--to", metavar="REVISION", help="This one, or base.  [default: the one before]")] = None,
    graph_name: GraphOption = None,
    tenant: TenantOption = None,
) -> None:
    """Undo steps of a SQL store, by the way back that each has."""
    graph, settings = read(graph_name, tenant)
    [name] = _named(graph, graph_name, [store])
    with naming_urls(settings):
        lines = asyncio.run(_down(settings, graph, name, to))
    for line in lines or [f"{name}: nothing to undo"]:
        say(line)


def _named(graph: Graph, graph_name: str | None, names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in graph.store_names:
            raise ConfigError(f"--store {name}: no such store; {called(graph_name)} has {', '.join(graph.store_names) or 'none'}")
    return list(dict.fromkeys(names))


def _tell(outcomes: Sequence[Outcome], settings: Settings) -> None:
    """Say how it went in each store, and end with an error where it did not go well in all."""
    if _told(outcomes, settings):
        raise typer.Exit(FAILED)


def _told(outcomes: Sequence[Outcome], settings: Settings) -> bool:
    """Say how it went in each store; return whether something failed."""
    for outcome in outcomes:
        for line in outcome.lines:
            say(line)
        if outcome.error is not None:
            say_error(f"{outcome.store}: failed: {url_named(outcome.error, settings)}")
    return any(outcome.error is not None for outcome in outcomes)


async def _migrate(settings: Settings, graph: Graph, names: Sequence[str], *, dry_run: bool) -> Sequence[Outcome]:
    from gateway.migrating import migrate_each, plan_each
    from gateway.preparing import looked_into, opened

    if dry_run:
        async with looked_into(settings, graph) as stores:
            return await plan_each(stores, graph, names)
    async with opened(settings, graph) as stores:
        return await migrate_each(stores, graph, names, lock_timeout_s=settings.migrate_lock_timeout_s)


async def _status(settings: Settings, graph: Graph) -> Sequence[Outcome]:
    from gateway.migrating import states_of_each
    from gateway.preparing import looked_into

    async with looked_into(settings, graph) as stores:
        return await states_of_each(stores, graph, graph.store_names)


async def _new(settings: Settings, graph: Graph, name: str, text: str) -> tuple[Path, Sequence[Script]]:
    from gateway.migrating import drafted
    from gateway.preparing import looked_into

    async with looked_into(settings, graph) as stores:
        return await drafted(stores, graph, name, text)


async def _down(settings: Settings, graph: Graph, name: str, to: str | None) -> Sequence[str]:
    from gateway.migrating import revert
    from gateway.preparing import opened

    async with opened(settings, graph) as stores:
        return await revert(stores, graph, name, to, lock_timeout_s=settings.migrate_lock_timeout_s)
