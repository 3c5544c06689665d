"""``gateway relay``: what carries writes on, as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import typer

from gateway.cli.reading import GraphOption, called, read
from gateway.cli.running import refuse_wrong
from gateway.cli.telling import say, say_error
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.graph.fields import Graph

relay_cli = typer.Typer()


@relay_cli.command()
def relay(graph_name: GraphOption = None) -> None:
    """Carry writes on to where they are replicated, until the process is told to end. Any number of them may run, also beside serve.

    What is under way is finished then, or given back, within 10 s. With the setting relay = false gateway serve carries none itself.
    """
    graph, settings = read(graph_name)
    if not graph.logged:
        raise ConfigError(f"{called(graph_name)}: expected a graph that writes (a Mutation, or replication), got one that only reads")

    from gateway.observability import logs
    from gateway.stores.kinds import kinds_of
    from gateway.writes import points

    logs.configure(settings.environment, form=settings.log_format)
    points.arm(os.environ, is_production=settings.is_production)
    refuse_wrong(graph, kinds_of(settings.urls))
    asyncio.run(_relay(settings, graph))


async def _relay(settings: Settings, graph: Graph) -> None:
    from gateway.preparing import migrate_at_start, opened
    from gateway.relaying import Beside, homes_of

    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with opened(settings, graph, tells_slow=True) as stores:
        await migrate_at_start(stores, graph, settings, say, say_error)
        async with Beside(stores, graph, settings, has_relay=True).running():
            for home, targets in homes_of(stores, graph).items():
                say(f"Relaying writes of {home} to {', '.join(targets) or 'nobody; they get their positions'}")
            await told.wait()
    say("Ended: nothing is under way.")
