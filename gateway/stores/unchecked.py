"""Stores that were away when the gateway started: each is looked at before the first request to it is answered.

One look is for all who wait at that time. Where it finds something wrong, whoever asks the store is told so, until a later look, at most
one in ``AGAIN_S``, finds nothing; where the store is away still, the next request looks again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field

from gateway.errors import OperatorError, StoreMismatch, StoreTimeout, StoreUnavailable

AGAIN_S = 3.0

Look = Callable[[], Awaitable[Sequence[str]]]  # what is wrong, a line each; StoreUnavailable or StoreTimeout where nobody answers

_log = logging.getLogger("gateway.errors")


class Unchecked:
    """Some stores by name, until they have passed; ``on_empty`` is called when the last one has."""

    def __init__(self, looks: Mapping[str, Look], on_empty: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._gates = {name: _Gate(look) for name, look in looks.items()}
        self._on_empty = on_empty
        self._clock = clock

    def holds(self, name: str) -> bool:
        return name in self._gates

    async def passed(self, name: str) -> None:
        """Return once the store has passed. StoreMismatch where something is wrong, StoreUnavailable or StoreTimeout where it is away."""
        gate = self._gates.get(name)
        if gate is None:
            return
        if gate.problems and self._clock() < gate.again_at:
            raise StoreMismatch(name)
        if gate.task is None:
            # In a context of its own: it is nobody's request, and no trace has what it asks.
            gate.task = asyncio.get_running_loop().create_task(self._look(name, gate), context=Context())
        error = await asyncio.shield(gate.task)  # who goes away leaves it to the others
        if error is not None:
            raise error()

    def close(self) -> None:
        for gate in self._gates.values():
            if gate.task is not None:
                gate.task.cancel()

    async def _look(self, name: str, gate: _Gate) -> Callable[[], OperatorError] | None:
        """Return what makes the error for each who waits; None where nothing is wrong."""
        try:
            problems = tuple(await gate.look())
        except StoreUnavailable as error:
            cause, reason, told = error.__cause__, error.reason, error.told
            return lambda: _caused(StoreUnavailable(name, reason, told), cause)
        except StoreTimeout as error:
            seconds = error.seconds
            return lambda: StoreTimeout(name, seconds)
        except Exception:
            _log.warning("the store %s is served without a check of what it has, as it could not be looked at", name, exc_info=True)
            problems = ()
        finally:
            gate.task = None
        if problems:
            if problems != gate.problems:
                _log.error(
                    "the store %s is not as it was declared, and nothing of it is served until it is:\n  %s", name, "\n  ".join(problems)
                )
            gate.problems, gate.again_at = problems, self._clock() + AGAIN_S
            return lambda: StoreMismatch(name)
        if gate.problems:
            _log.warning("the store %s is as it was declared now", name)
        del self._gates[name]
        if not self._gates:
            self._on_empty()
        return None


@dataclass(slots=True)
class _Gate:
    look: Look
    problems: Sequence[str] = ()
    again_at: float = 0.0
    task: asyncio.Task[Callable[[], OperatorError] | None] | None = field(default=None, repr=False)


def _caused(error: OperatorError, cause: BaseException | None) -> OperatorError:
    error.__cause__ = cause
    return error
