"""``python -m tests.gateway.http.serve_fake PORT``: the application over a fake service, as a process of its own.

``{sleep}`` waits for a minute and says on standard output when it was cancelled; ``{slow}`` answers after 0.3 s.
"""

from __future__ import annotations

import asyncio
import sys

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http import server
from gateway.observability import logs
from gateway.service import Request, Response
from tests.gateway.http.fakes import FakeService, hello, make_app


async def answer(request: Request) -> Response:
    if request.query == "{slow}":
        await asyncio.sleep(0.3)
    if request.query == "{sleep}":
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            say("cancelled")
            raise
    return await hello(request)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(port: int) -> int:
    logs.configure("production")
    settings = Settings(port=port)
    try:
        listener = server.bind(settings)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    server.run(make_app(FakeService(answer)), settings, listener, on_ready=lambda: say(server.address(listener)))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
