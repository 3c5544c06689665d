"""The command line. Each command imports what it needs when it runs, so that ``--help`` and a start are quick."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.errors import BadData, ConfigError, GatewayError, StoreTimeout, StoreUnavailable

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.engine.declared import Problem
    from gateway.graph.fields import Graph
    from gateway.graph.looking import Looked
    from gateway.loading import LoadReport, Step
    from gateway.stores.kinds import Kind

GraphOption = Annotated[
    str | None,
    typer.Option("--graph", metavar="MODULE:ATTRIBUTE", help="The graph, looked for from the current folder.  [default: the example]"),
]

FAILED = 1
MISUSED = 2  # a setting or an argument
INTERRUPTED = 130

cli = typer.Typer(
    name="gateway",
    help="One GraphQL schema over several databases.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
schema_cli = typer.Typer(help="Print the schema that is served, or check the exported one.", no_args_is_help=True)
cli.add_typer(schema_cli, name="schema")


def main() -> None:
    """Run the command; an error that somebody can act on is one line on stderr, never a traceback."""
    try:
        cli(prog_name="gateway")
    except ConfigError as error:
        _end(error.message, MISUSED)
    except GatewayError as error:
        _end(error.message, FAILED)
    except OSError as error:
        _end(str(error), FAILED)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)


@cli.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=lambda v: _version(v))
    ] = False,
) -> None:
    """One GraphQL schema over several databases."""


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[str | None, typer.Option(help="The port; 0 is any free one.  [default: 8000]")] = None,
    graph_name: GraphOption = None,
) -> None:
    """Serve the graph. Embedded stores are created first, and empty ones filled with demo data where the graph has some.

    What is wrong with the graph, or with the stores that can be reached, ends the start.
    """
    graph, settings = _read(graph_name, host=host, port=port)

    from gateway.app import create_app
    from gateway.http import server
    from gateway.observability import logs
    from gateway.stores.kinds import kinds_of

    logs.configure(settings.environment, access_log=settings.access_log)
    _refuse_wrong(graph, kinds_of(settings.urls))
    app = create_app(settings, graph)
    listener = server.bind(settings)
    with _naming_urls(settings):
        unchecked = asyncio.run(_prepare(settings, graph))
    if unchecked:
        app = create_app(settings, graph, unchecked=unchecked)
    server.run(app, settings, listener, on_ready=lambda: _say(f"Serving on {server.address(listener)}"))


@cli.command()
def migrate(graph_name: GraphOption = None) -> None:
    """Create what is missing in each store: tables, collections, indexes, constraints."""
    graph, settings = _read(graph_name)
    with _naming_urls(settings):
        asyncio.run(_migrate(settings, graph))


@cli.command()
def check(graph_name: GraphOption = None) -> None:
    """Check the graph: every mistake in its declarations, each with its field, what was expected and what was found.

    Then its stores, where the settings say which these are: what their kinds cannot do, and, where they can be reached, whether they have
    the tables, columns and types that the graph declares. Changes nothing.
    """
    from gateway.config import load_settings
    from gateway.stores.kinds import kinds_of

    graph = _graph(graph_name)
    kinds: dict[str, Kind] = {}
    settings: Settings | None = None
    try:
        settings = load_settings(graph.store_names, graph.plain_urls, graph=graph_name)
        kinds = kinds_of(settings.urls)
    except ConfigError as error:
        _say_error(f"Not checked against the kinds of its stores, as the settings do not say them: {error.message}")
    _refuse_wrong(graph, kinds)
    checked = asyncio.run(_look(settings, graph)) if settings is not None else []
    fields = sum(len(getattr(type_, "fields", ())) for name, type_ in graph.schema._schema.type_map.items() if not name.startswith("__"))
    _say(f"Nothing is wrong: {len(graph.collections)} collections in {len(graph.store_names)} stores, {fields} fields.")
    if checked:
        _say(f"Stores that have what is declared: {', '.join(checked)}.")


@cli.command()
def seed(
    users: Annotated[int, typer.Option(min=1, help="How many users.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 1,
    posts_per_user: Annotated[int | None, typer.Option(min=0, help="On average.")] = None,
    events_per_user: Annotated[int | None, typer.Option(min=0, help="On average.")] = None,
    if_empty: Annotated[bool, typer.Option("--if-empty", help="Leave stores alone that have rows.")] = False,
    graph_name: GraphOption = None,
) -> None:
    """Fill the stores with demo data, replacing rows of the same keys."""
    graph, settings = _read(graph_name)
    if graph.demo is None:
        raise ConfigError(f"{_called(graph_name)}: expected a graph with demo data, got one whose demo is None")
    given = {"posts_per_user": posts_per_user, "events_per_user": events_per_user}
    asked = {name: number for name, number in given.items() if number is not None}
    for name in asked.keys() - inspect.signature(graph.demo).parameters.keys():
        raise ConfigError(f"--{name.replace('_', '-')}: expected a number that the demo data of {_called(graph_name)} takes")
    batches = graph.demo(users, seed, **asked)
    started = time.perf_counter()
    with _naming_urls(settings), _row_counts() as progress:
        rows = asyncio.run(_seed(settings, graph, batches, progress, if_empty=if_empty))
    if rows is None:
        _say("The stores have rows already: nothing written.")
        return
    _say(f"Wrote {_counts(rows)} in {time.perf_counter() - started:.1f} s.")


@cli.command()
def load(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with NDJSON files.")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Report bad lines and go on without them.")] = False,
    graph_name: GraphOption = None,
) -> None:
    """Load NDJSON files. All lines are checked before anything is written; loading again changes nothing."""
    graph, settings = _read(graph_name)
    with _naming_urls(settings), _bars() as progress:
        report = asyncio.run(_load(settings, graph, folder, _say_error if skip_bad else None, progress))
    _report(report)


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
    service = Service(_graph(graph_name), Stores({}))
    try:
        made = service.plan(file.read_text(encoding="utf-8"), operation, given)
    except DocumentRefused as refused:
        for problem in refused.errors:
            _say_error(f"{file}: {problem['message']}")
        raise typer.Exit(FAILED) from None
    _say(orjson.dumps(describe(made), option=orjson.OPT_INDENT_2).decode() if as_json else text_of(made))


@schema_cli.command("print")
def schema_print(graph_name: GraphOption = None) -> None:
    """Print the schema's SDL."""
    _say(_graph(graph_name).schema.as_str())


@schema_cli.command("check")
def schema_check(graph_name: GraphOption = None) -> None:
    """End with 1, and the difference, when the exported SDL is not the schema that is served."""
    graph = _graph(graph_name)
    if graph.sdl is None:
        raise ConfigError(f"{_called(graph_name)}: expected a graph that names its exported SDL, got one whose sdl is None")
    exported = graph.sdl.read_text(encoding="utf-8") if graph.sdl.exists() else ""
    built = graph.schema.as_str() + "\n"
    if exported == built:
        _say(f"{graph.sdl.name} is the schema that is served.")
        return
    from difflib import unified_diff

    lines = unified_diff(exported.splitlines(), built.splitlines(), f"{graph.sdl.name}, as exported", "as served", lineterm="")
    _say("\n".join(lines) or "the files differ in their line ends")
    _say_error(f"{graph.sdl} is stale: gateway schema print > {graph.sdl}")
    raise typer.Exit(FAILED)


# ----------------------------------------------------------------------------------------------------- what commands do


def _refuse_wrong(graph: Graph, kinds: Mapping[str, Kind]) -> None:
    """End with all that is wrong with a graph over stores of these kinds, a line each."""
    from gateway.graph.checks import check as problems_of

    problems = problems_of(graph, kinds)
    if problems:
        raise ConfigError(_listed(f"The graph has {len(problems)} {'mistake' if len(problems) == 1 else 'mistakes'}", problems))


def _listed(head: str, problems: Sequence[Problem]) -> str:
    return f"{head}:\n" + "\n".join(f"  {problem}" for problem in problems)


def _conclude(looked: Looked, settings: Settings) -> None:
    """Say which stores were not looked at, and why, and end with all in which the others differ from what the graph declares."""
    from gateway.config import hidden

    for name, error in looked.away.items():
        told = f": {error.told}" if isinstance(error, StoreUnavailable) and error.told else ""
        _say_error(f"Not checked: {error.message.rstrip('.')} at {hidden(settings.urls[name])}{told}.")
    for name, reason in looked.silent.items():
        _say_error(f"Not checked: the store '{name}', as {reason}.")
    problems = looked.problems
    if problems:
        raise ConfigError(
            _listed(f"The stores differ from the graph in {len(problems)} {'place' if len(problems) == 1 else 'places'}", problems)
        )


def _graph(name: str | None) -> Graph:
    """Return the graph of the option ``--graph`` (None: not given), or of the settings, or the example."""
    from gateway.config import graph_setting
    from gateway.graphs import load_example, load_graph

    named = graph_setting(name)
    return load_example() if named is None else load_graph(named[1], key=named[0])


def _called(name: str | None) -> str:
    from gateway.config import graph_setting

    named = graph_setting(name)
    return "the example" if named is None else f"the graph {named[1]}"


def _read(graph_name: str | None, **overrides: Any) -> tuple[Graph, Settings]:
    from gateway.config import load_settings

    graph = _graph(graph_name)
    return graph, load_settings(graph.store_names, graph.plain_urls, graph=graph_name, **overrides)


async def _prepare(settings: Settings, graph: Graph) -> Sequence[str]:
    """Make the stores ready, and return the names of those that are away, so that nobody knows what they have."""
    from gateway.graph.looking import look
    from gateway.preparing import fill_embedded, migrate_embedded, opened

    async with opened(settings) as stores:
        await migrate_embedded(stores, graph, _say)
        looked = await look(stores, graph, graph.store_names)
        _conclude(looked, settings)
        await fill_embedded(stores, graph, settings, _say)
    return list(looked.away)


async def _look(settings: Settings, graph: Graph) -> Sequence[str]:
    """Return the stores that have what is declared, leaving out those whose file a look would make. What differs ends the command."""
    from gateway.graph.looking import look
    from gateway.preparing import connect
    from gateway.stores.kinds import kind_of

    to_be_made: dict[str, str] = {}
    for name, url in settings.urls.items():
        kind = kind_of(url)
        path = None if kind is None else kind.file_of(url)
        if path is not None and not path.exists():
            to_be_made[name] = f"its file {path} is not there yet"
    stores = connect(settings)
    await stores.open()
    try:
        looked = await look(stores, graph, [name for name in graph.store_names if name not in to_be_made])
    finally:
        await stores.close()
    looked.silent = to_be_made | looked.silent
    _conclude(looked, settings)
    return looked.checked


async def _migrate(settings: Settings, graph: Graph) -> None:
    from gateway.preparing import migrate, opened

    async with opened(settings) as stores:
        for name in graph.store_names:
            done = await migrate(stores, graph, name)
            for line in done or [f"{name}: nothing to do"]:
                _say(line)


async def _create_missing(stores: Any, graph: Graph) -> None:
    from gateway.preparing import migrate

    for name in graph.store_names:
        for line in await migrate(stores, graph, name):
            _say(line)


async def _seed(
    settings: Settings, graph: Graph, batches: Any, progress: Callable[[Counter[str]], None], *, if_empty: bool
) -> Counter[str] | None:
    from gateway.loading import write_batches
    from gateway.preparing import are_empty, opened

    async with opened(settings) as stores:
        await _create_missing(stores, graph)
        if if_empty and not await are_empty(stores, graph):
            return None
        return await write_batches(stores, batches, progress)


async def _load(
    settings: Settings, graph: Graph, folder: Path, on_bad: Callable[[str], None] | None, progress: Callable[[Step], None]
) -> LoadReport:
    from gateway.loading import load_folder
    from gateway.preparing import opened

    def bad(error: BadData) -> None:
        assert on_bad is not None
        on_bad(error.message)

    async with opened(settings) as stores:
        await _create_missing(stores, graph)
        return await load_folder(stores, graph.datasets, folder, on_bad=bad if on_bad else None, progress=progress)


# ------------------------------------------------------------------------------------------------------------ what it says


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _say_error(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _end(message: str, code: int) -> NoReturn:
    _say_error(f"gateway: {message}")
    sys.exit(code)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        _say(f"crossgraph {version('crossgraph')}")
        raise typer.Exit


@contextmanager
def _naming_urls(settings: Settings) -> Iterator[None]:
    """Say at which URL a store was not there: whoever runs a command wants to know, a client must not."""
    from gateway.config import hidden

    try:
        yield
    except (StoreUnavailable, StoreTimeout) as error:
        told = f": {error.told}" if isinstance(error, StoreUnavailable) and error.told else ""
        error.message = f"{error.message.rstrip('.')} at {hidden(settings.urls[error.store])}{told}."
        raise


def _counts(rows: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(rows.items())) or "nothing"


def _report(report: LoadReport) -> None:
    for name, lines in report.lines.items():
        skipped = report.skipped[name]
        _say(f"{name}: {lines:,} lines" + (f", {skipped:,} of them bad and left out" if skipped else ""))
    for name in report.ignored:
        _say(f"{name}: not a file of this graph, ignored")
    _say(f"Wrote {_counts(report.rows)} in {report.seconds:.1f} s.")


@contextmanager
def _bars() -> Iterator[Callable[[Step], None]]:
    """Give a function that shows how far a load is: bars on a terminal, one line per file and phase otherwise."""
    if not sys.stderr.isatty():
        yield _plain_step
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

    tasks: dict[tuple[str, str], TaskID] = {}
    columns = (TextColumn("{task.description:<24}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def show(step: Step) -> None:
            at = (step.file, step.phase)
            if at not in tasks:
                tasks[at] = progress.add_task(f"{step.phase} {step.file}", total=step.total)
            progress.update(tasks[at], completed=step.done, total=max(step.total, 1))

        yield show


def _plain_step(step: Step) -> None:
    if step.done == step.total:
        _say(f"{'checked' if step.phase == 'check' else 'read'} {step.file}")


@contextmanager
def _row_counts() -> Iterator[Callable[[Counter[str]], None]]:
    """Give a function that shows how many rows are written, on a terminal; elsewhere the summary at the end is enough."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("writing") as status:
        yield lambda rows: status.update(f"written: {_counts(rows)}")
