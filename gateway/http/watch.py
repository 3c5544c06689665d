"""Whether a client is still there, while its answer is made."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Receive


class Watch:
    """Cancels a task when its client leaves, from ``start`` on."""

    __slots__ = ("_is_gone", "_looking", "_receive", "_task")

    def __init__(self, receive: Receive, task: asyncio.Task[Any]) -> None:
        self._receive = receive
        self._task = task
        self._looking: asyncio.Task[None] | None = None
        self._is_gone = False

    def start(self) -> None:
        self._looking = asyncio.get_running_loop().create_task(self._look())

    def take_back(self) -> bool:
        """Return whether the cancellation was ours, and undo it then; one of somebody else's stays."""
        return self._is_gone and self._task.uncancel() == 0

    def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._task.cancel()
