"""The operations of a client that has several at a time over one connection: a task for each, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing, nullcontext
from time import monotonic
from typing import Any, Protocol

import orjson

from gateway.deadlines import Deadlines
from gateway.errors import DeadlineExceeded, GatewayError, Overloaded, SlowReader
from gateway.http.draining import ending
from gateway.observability import logs
from gateway.observability.accounts import Account
from gateway.observability.traces import Traces
from gateway.service import GRACE_S, Request, Response, Service

CODES_KEPT = 100  # of the errors of a subscription's events, for its line in the log


class Told(Protocol):
    """The client, as its operations tell it what became of them. ``next`` waits for a slow one, and may raise SlowReader."""

    async def next(self, its: str, response: Response) -> None: ...

    async def error(self, its: str, errors: bytes) -> None:
        """The last of an operation: a list of errors, as JSON."""
        ...

    async def completed(self, its: str) -> None: ...

    @property
    def kind(self) -> str:
        """What its connection is, for the log: socket, events."""
        ...

    def is_slow(self) -> None:
        """It does not take what it is told."""
        ...


class Operations:
    def __init__(self, service: Service, deadline_s: float, deadlines: Deadlines, told: Told, traces: Traces | None = None) -> None:
        self._service = service
        self._deadline_s = deadline_s
        self._deadlines = deadlines
        self._told = told
        self._traces = traces
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._streaming: set[str] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._unanswered: set[asyncio.Task[None]] = set()
        self._is_cut = False

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, its: str) -> bool:
        return its in self._tasks

    @property
    def ids(self) -> list[str]:
        return list(self._tasks)

    def start(self, its: str, request: Request, values: Mapping[str, Any], request_id: str) -> None:
        self._begin(its, self._answer(its, request, values, request_id))

    def go_on(self, its: str, answered: Response | AsyncGenerator[Response, None], account: Account) -> None:
        """Have an operation told that the service has answered already."""
        self._begin(its, self._tell(its, answered, account))

    def _begin(self, its: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[its] = asyncio.get_running_loop().create_task(self._run(its, work))

    def stop(self, its: str) -> None:
        """End an operation, wherever it is; nothing is told of it."""
        task = self._tasks.pop(its, None)
        self._streaming.discard(its)
        if task is not None:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def answers(self) -> None:
        """Return once all that are no streams have their answer."""
        waiting = [task for its, task in self._tasks.items() if its not in self._streaming]
        await asyncio.gather(*waiting, return_exceptions=True)

    def cut(self) -> None:
        """End all that the service has not answered; each is told so."""
        self._is_cut = True
        for task in self._unanswered:
            task.cancel()

    async def end(self) -> None:
        """End all, and return once nothing of them is left."""
        for its in self.ids:
            self.stop(its)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _run(self, its: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except SlowReader:
            self._told.is_slow()
        except Exception as exc:  # nobody waits for this task, and the client would wait for its answer
            logs.unexpected("", exc)
            await self._told.error(its, errors_of(self._service.refuse(GatewayError("Internal server error."))))
        finally:
            if self._tasks.get(its) is asyncio.current_task():
                del self._tasks[its]
                self._streaming.discard(its)

    async def _answer(self, its: str, request: Request, values: Mapping[str, Any], request_id: str) -> None:
        account = Account(request.operation_name)
        account.tenant = self._service.tenant
        begun = monotonic()
        try:
            with nullcontext() if self._traces is None else self._traces.request(account, request_id, {}):
                answered = await self._answered(its, request, values, request_id, account)
                if isinstance(answered, Response):
                    account.codes = answered.codes
            await self._tell(its, answered, account)
        finally:
            logs.operation(request_id, self._told.kind, monotonic() - begun, account)

    async def _answered(
        self, its: str, request: Request, values: Mapping[str, Any], request_id: str, account: Account
    ) -> Response | AsyncGenerator[Response, None]:
        deadline_s = self._deadline_s
        written: list[str] = []
        task = asyncio.current_task()
        assert task is not None
        self._unanswered.add(task)
        try:
            if self._is_cut:
                raise ending()
            with self._deadlines.within(deadline_s + GRACE_S):
                return await self._service.subscribe(
                    request,
                    request_id=request_id,
                    deadline_s=deadline_s,
                    values=values,
                    started=monotonic(),
                    written=written,
                    account=account,
                )
        except TimeoutError:
            return self._service.refuse(DeadlineExceeded(deadline_s), written)
        except Overloaded as error:
            return self._service.refuse(error)
        except asyncio.CancelledError:
            if not self._is_cut or its not in self._tasks:
                raise
            task.uncancel()
            return self._service.refuse(ending(), written)
        finally:
            self._unanswered.discard(task)

    async def _tell(self, its: str, answered: Response | AsyncGenerator[Response, None], account: Account) -> None:
        told = self._told
        if isinstance(answered, Response):
            account.codes = answered.codes
            if answered.is_refused:
                await told.error(its, errors_of(answered))
                return
            await told.next(its, answered)
        else:
            self._streaming.add(its)
            account.events = 0
            async with aclosing(answered) as responses:
                async for response in responses:
                    if len(account.codes) < CODES_KEPT:
                        account.codes += response.codes
                    if response.is_refused:
                        await told.error(its, errors_of(response))
                        return
                    account.events += 1
                    await told.next(its, response)
        await told.completed(its)


def errors_of(response: Response) -> bytes:
    """Return the list of a response's errors as JSON."""
    return orjson.dumps(orjson.loads(response.body)["errors"])
