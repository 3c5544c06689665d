"""What commands say, and how: lines on the two outputs, bars on a terminal."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

import typer

from gateway.errors import GatewayError, StoreTimeout, StoreUnavailable

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.loading import LoadReport, Step


FAILED = 1
MISUSED = 2  # a setting or an argument
INTERRUPTED = 130


def open_outputs() -> None:
    """Have the first three files be open. Else what is opened later, a socket, would be one of them, which the loop does not take."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_error(text: str) -> None:
    if sys.stderr is not None:  # as it is where it was closed before the start
        with suppress(OSError):
            sys.stderr.write(f"{text}\n")


def tell(text: str) -> None:
    """Say what a command does beside its work. Where that cannot be written, its output is no more, and it goes on."""
    if sys.stdout is None:
        return
    try:
        say(text)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends


def end(message: str, code: int) -> NoReturn:
    say_error(f"gateway: {message}")
    sys.exit(code)


def tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"crossgraph {version('crossgraph')}")
        raise typer.Exit


@contextmanager
def naming_urls(settings: Settings) -> Iterator[None]:
    """Say at which URL a store was not there: whoever runs a command wants to know, a client must not."""
    try:
        yield
    except (StoreUnavailable, StoreTimeout) as error:
        error.message = url_named(error, settings)
        raise


def url_named(error: Exception, settings: Settings) -> str:
    """Return what an error says, with the URL of a store that was not there, and the reason, where it is known."""
    if isinstance(error, StoreUnavailable | StoreTimeout):
        from gateway.preparing import url_named as with_url

        return with_url(error, settings)
    return error.message if isinstance(error, GatewayError) else f"{type(error).__name__}: {error}"


def counts(rows: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(rows.items())) or "nothing"


def report(loaded: LoadReport) -> None:
    for name, lines in loaded.lines.items():
        skipped = loaded.skipped[name]
        say(f"{name}: {lines:,} lines" + (f", {skipped:,} of them bad and left out" if skipped else ""))
    for name in loaded.ignored:
        say(f"{name}: not a file of this graph, ignored")
    say(f"Wrote {counts(loaded.rows)} in {loaded.seconds:.1f} s.")


@contextmanager
def bars() -> Iterator[Callable[[Step], None]]:
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
        say(f"{'checked' if step.phase == 'check' else 'read'} {step.file}")


@contextmanager
def row_counts() -> Iterator[Callable[[Counter[str]], None]]:
    """Give a function that shows how many rows are written, on a terminal; elsewhere the summary at the end is enough."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("writing") as status:
        yield lambda rows: status.update(f"written: {counts(rows)}")


@contextmanager
def row_bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Give a function that counts rows that are done: a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
