"""The command line. Each command imports what it needs when it runs, so that ``--help`` and a start are quick."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import reading
from gateway.cli.auditing import audit_cli
from gateway.cli.migrating import migrate_cli
from gateway.cli.moving import move_cli
from gateway.cli.reading import GraphOption, TenantOption, called, read, read_all
from gateway.cli.relaying import relay_cli
from gateway.cli.running import load_stores, look_at_stores, prepare, refuse_wrong, refuse_wrong_anywhere, seed_stores
from gateway.cli.syncing import sync_cli
from gateway.cli.telling import (
    FAILED,
    INTERRUPTED,
    MISUSED,
    bars,
    counts,
    end,
    naming_urls,
    open_outputs,
    report,
    row_counts,
    say,
    say_error,
    tell_version,
)
from gateway.errors import ConfigError, GatewayError

if TYPE_CHECKING:
    from gateway.config import Settings

cli = typer.Typer(
    name="gateway",
    help="One GraphQL schema over several databases.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
schema_cli = typer.Typer(help="Print the schema that is served, or check the exported one.", no_args_is_help=True)
cli.add_typer(schema_cli, name="schema")
cli.add_typer(migrate_cli, name="migrate")
cli.add_typer(relay_cli)
cli.add_typer(move_cli)
cli.add_typer(audit_cli)
cli.add_typer(sync_cli, name="sync")


def main() -> None:
    """Run the command; an error that somebody can act on is one line on stderr, never a traceback."""
    open_outputs()
    try:
        cli(prog_name="gateway")
    except ConfigError as error:
        end(error.message, MISUSED)
    except GatewayError as error:
        end(error.message, FAILED)
    except OSError as error:
        end(str(error), FAILED)
    except KeyboardInterrupt:
        end("interrupted", INTERRUPTED)


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=lambda v: tell_version(v))
    ] = False,
) -> None:
    """One GraphQL schema over several databases."""


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[str | None, typer.Option(help="The port; 0 is any free one.  [default: 8000]")] = None,
    workers: Annotated[str | None, typer.Option(help="How many processes serve.  [default: 1]")] = None,
    graph_name: GraphOption = None,
) -> None:
    """Serve the graph. Embedded stores are created first, and empty ones filled with demo data where the graph has some.

    What is wrong with the graph, or with the stores that can be reached, ends the start.
    """
    graph, settings = read_all(graph_name, host=host, port=port, workers=workers)

    from gateway.app import create_app
    from gateway.cli.serving import serve_alone, serve_with_workers, take_port
    from gateway.config import load_settings
    from gateway.http.handover import refuse_handover
    from gateway.http.workers import refuse_workers
    from gateway.observability import logs
    from gateway.writes import points

    logs.configure(settings.environment, form=settings.log_format, access_log=settings.access_log)
    points.arm(os.environ, is_production=settings.is_production)
    refuse_wrong_anywhere(graph, settings)
    refuse_workers(settings)
    refuse_handover(settings)
    create_app(settings, graph)
    place = take_port(settings)
    unchecked: Sequence[str] = ()
    if not settings.tenant_header:  # a tenant's stores are made ready on its first request
        with naming_urls(settings):
            unchecked = asyncio.run(prepare(settings, graph))

    def read_again() -> Settings:
        return load_settings(graph.store_names, graph.plain_urls, graph=graph_name, host=host, port=port, workers=workers)

    if settings.workers == 1:
        serve_alone(settings, graph, unchecked, place, read_again)
    else:
        serve_with_workers(settings, graph, unchecked, place, read_again)


@cli.command()
def check(graph_name: GraphOption = None, tenant: TenantOption = None) -> None:
    """Check the graph: every mistake in its declarations, each with its field, what was expected and what was found.

    Then its stores, where the settings say which these are: what their kinds cannot do, and, where they can be reached, whether they have
    the tables, columns and types that the graph declares. Changes nothing. Where there are tenants, those of one are looked at.
    """
    from gateway.config import load_settings

    graph = reading.graph_named(graph_name)
    settings: Settings | None = None
    try:
        settings = load_settings(graph.store_names, graph.plain_urls, graph=graph_name)
    except ConfigError as error:
        say_error(f"Not checked against the kinds of its stores, as the settings do not say them: {error.message}")
        refuse_wrong(graph, {})
    checked: Sequence[str] = []
    if settings is not None:
        refuse_wrong_anywhere(graph, settings)
        if tenant is None and settings.tenant_header:
            say_error("Not checked: the stores of tenants, of which --tenant names one.")
        else:
            checked = asyncio.run(look_at_stores(reading.settings_for(settings, tenant), graph))
    fields = sum(len(getattr(type_, "fields", ())) for name, type_ in graph.schema._schema.type_map.items() if not name.startswith("__"))
    say(f"Nothing is wrong: {len(graph.collections)} collections in {len(graph.store_names)} stores, {fields} fields.")
    if checked:
        say(f"Stores that have what is declared: {', '.join(checked)}.")


@cli.command()
def seed(
    users: Annotated[int, typer.Option(min=1, help="How many users.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 1,
    posts_per_user: Annotated[int | None, typer.Option(min=0, help="On average.")] = None,
    events_per_user: Annotated[int | None, typer.Option(min=0, help="On average.")] = None,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Leave stores alone that have rows.")] = False,
    graph_name: GraphOption = None,
    tenant: TenantOption = None,
) -> None:
    """Fill the stores with demo data, replacing rows of the same keys."""
    graph, settings = read(graph_name, tenant)
    if graph.demo is None:
        raise ConfigError(f"{called(graph_name)}: expected a graph with demo data, got one whose demo is None")
    given = {"posts_per_user": posts_per_user, "events_per_user": events_per_user}
    asked = {name: number for name, number in given.items() if number is not None}
    for name in asked.keys() - inspect.signature(graph.demo).parameters.keys():
        raise ConfigError(f"--{name.replace('_', '-')}: expected a number that the demo data of {called(graph_name)} takes")
    batches = graph.demo(users, seed, **asked)
    started = time.perf_counter()
    with naming_urls(settings), row_counts() as progress:
        rows = asyncio.run(seed_stores(settings, graph, batches, progress, if_empty=if_empty))
    if rows is None:
        say("The stores have rows already: nothing written.")
        return
    say(f"Wrote {counts(rows)} in {time.perf_counter() - started:.1f} s.")


@cli.command()
def load(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with NDJSON files.")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Report bad lines and go on without them.")] = False,
    graph_name: GraphOption = None,
    tenant: TenantOption = None,
) -> None:
    """Load NDJSON files. All lines are checked before anything is written; loading again changes nothing."""
    graph, settings = read(graph_name, tenant)
    with naming_urls(settings), bars() as progress:
        loaded = asyncio.run(load_stores(settings, graph, folder, say_error if skip_bad else None, progress))
    report(loaded)


@cli.command()
def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A GraphQL document.")],
    operation: Annotated[str | None, typer.Option(help="Which operation, where the document has several.")] = None,
    variables: Annotated[str | None, typer.Option(help="Variables as JSON; @skip and @include may depend on them.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    graph_name: GraphOption = None,
) -> None:
    """Print how an operation would run: levels, and the store calls of each. Asks no store."""
    import orjson

    from gateway.engine.document import DocumentRefused
    from gateway.engine.explain import describe, text_of
    from gateway.service import Service
    from gateway.stores import Stores

    try:
        given = orjson.loads(variables) if variables else {}
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"--variables: expected JSON, got {variables!r}: {error}") from error
    service = Service(reading.graph_named(graph_name), Stores({}))
    try:
        made = service.plan(file.read_text(encoding="utf-8"), operation, given)
    except DocumentRefused as refused:
        for problem in refused.errors:
            say_error(f"{file}: {problem['message']}")
        raise typer.Exit(FAILED) from None
    say(orjson.dumps(describe(made), option=orjson.OPT_INDENT_2).decode() if as_json else text_of(made))


@schema_cli.command("print")
def schema_print(graph_name: GraphOption = None) -> None:
    """Print the schema's SDL."""
    say(reading.graph_named(graph_name).schema.as_str())


@schema_cli.command("check")
def schema_check(graph_name: GraphOption = None) -> None:
    """End with 1, and the difference, when the exported SDL is not the schema that is served."""
    graph = reading.graph_named(graph_name)
    if graph.sdl is None:
        raise ConfigError(f"{called(graph_name)}: expected a graph that names its exported SDL, got one whose sdl is None")
    exported = graph.sdl.read_text(encoding="utf-8") if graph.sdl.exists() else ""
    built = graph.schema.as_str() + "\n"
    if exported == built:
        say(f"{graph.sdl.name} is the schema that is served.")
        return
    from difflib import unified_diff

    lines = unified_diff(exported.splitlines(), built.splitlines(), f"{graph.sdl.name}, as exported", "as served", lineterm="")
    say("\n".join(lines) or "the files differ in their line ends")
    say_error(f"{graph.sdl} is stale: gateway schema print > {graph.sdl}")
    raise typer.Exit(FAILED)
