"""``python -m tests.gateway.http.serve_fake PORT [SETTINGS]``: the application over a fake service, as a process of its own.

``{sleep}`` waits for a minute and ``{held}`` until ``{let}`` is asked, ``{slow}`` and ``{nap}`` answer after 0.3 s, ``{block}`` holds
the loop for 1.6 s. All but ``{slow}`` say on standard output that they have begun, and ``{sleep}`` that it was cancelled. SETTINGS is JSON;
``closing`` in it is how its stores close: ``hang`` and ``block`` take a minute, the latter with the whole loop; ``ending_s`` is the time
that they have.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http import draining, server
from gateway.observability import logs
from gateway.service import Request, Response
from tests.gateway.http.fakes import FakeService, FakeStores, hello, make_app

let = asyncio.Event()


async def answer(request: Request) -> Response:
    if request.query in ("{sleep}", "{held}", "{nap}", "{block}"):
        say("begun")
    if request.query == "{block}":
        hold_the_loop()
    if request.query == "{held}":
        await let.wait()
    if request.query == "{let}":
        let.set()
    if request.query in ("{slow}", "{nap}"):
        await asyncio.sleep(0.3)
    if request.query == "{sleep}":
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            say("cancelled")
            raise
    return await hello(request)


def hold_the_loop() -> None:
    time.sleep(1.6)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Closing(FakeStores):
    def __init__(self, how: str) -> None:
        super().__init__()
        self._how = how

    async def close(self) -> None:
        say("closing")
        if self._how == "block":
            time.sleep(60)  # noqa: ASYNC251 - as a driver might
        elif self._how == "hang":
            await asyncio.sleep(60)


def main(port: int, given: dict[str, Any]) -> int:
    logs.configure("production")
    closing = given.pop("closing", None)
    draining.ENDING_S = given.pop("ending_s", draining.ENDING_S)
    settings = Settings(port=port, **given)
    try:
        listener = server.bind(settings)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    app = make_app(FakeService(answer), Closing(closing) if closing else None, **given)
    server.run(app, settings, [listener], on_ready=lambda: say(server.address(listener)))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}))
