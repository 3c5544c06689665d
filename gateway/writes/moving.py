"""Move a store: begin, and have it and its candidate change places while both are served. What is carried is in ``carrying.py``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from uuid import uuid4

from gateway.errors import ConfigError, GatewayError
from gateway.stores.base import Collection, Compare, Delete, Fetch, Get, Page, Update, Upsert, Where
from gateway.writes.carrying import FOLLOWED_EVERY_S, SHORT_PAUSE_S, Carrier, NotSwitched, patiently
from gateway.writes.following import PRUNED
from gateway.writes.own import ROWS_PER_PAGE, end
from gateway.writes.placing import CLOSING, COPYING, HELD, LOOKED_EVERY_S, MEMBER_S, OPENING, REOPENING, SETTLED, Move
from gateway.writes.replication import EPOCH_S
from gateway.writes.tables import tables_of
from gateway.writes.times import moment_of, now
from gateway.writes.watching import heartbeat_at

NEAR_ROWS = 200  # of the log that may be left when the store is closed
CLOSED_S = 5.0  # at most, while the rest is carried; requests wait for as long
OPENING_S = 12.0  # for all processes to know; longer than a process counts that is gone (placing.MEMBER_S)
FENCED_S = EPOCH_S + 10.0  # until who knows of no candidate has seen the fences, and has committed what it began before that
ACKNOWLEDGED_S = 0.05  # between two looks at what processes know
LEASE_S = 6.0
LEASE_EVERY_S = 1.0
RELAY_S = 15.0  # since a relay was last at work, for it to be taken for one


class Mover(Carrier):
    """Moves the collections of one store to its candidate, and back. ``collections`` are managed, and all of the store."""

    # --------------------------------------------------------------------------------------------------------- one at a time

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be the one that moves this store while the block runs. ConfigError where another is, and goes on to be."""
        owner, id_ = uuid4().hex, f"mover:{self.name}"
        leases = tables_of(self.place.anchor).leases
        deadline = time.monotonic() + LEASE_S + 1.0
        while True:
            found = await self._own.ask(Get(leases, ("owner", "until"), [id_]))
            other, until = found.get(id_, (None, None))
            if other is None or until is None or moment_of(until).timestamp() < time.time():
                values = (("owner", owner), ("until", now(-LEASE_S)))
                if id_ not in found:
                    await self._own.ask(Upsert(leases, [(id_, owner, now(-LEASE_S), 0)]))
                    break
                changed = await self._own.ask(Update(leases, (id_,), values, expected=(("owner", other),)))
                if changed is not None and changed.is_done:
                    break
            if time.monotonic() > deadline:
                raise ConfigError(f"{self.name}: expected to be the one that moves it, and another command is at that")
            await asyncio.sleep(0.5)

        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE_EVERY_S)
                with suppress(GatewayError):
                    at = tables_of(self.place.anchor).leases
                    await self._own.ask(Update(at, (id_,), (("until", now(-LEASE_S)),), expected=(("owner", owner),)))

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            await end([task])
            with suppress(GatewayError):
                at = tables_of(self.place.anchor).leases
                await self._own.ask(Update(at, (id_,), (("owner", None), ("until", None)), expected=(("owner", owner),)))

    # ------------------------------------------------------------------------------------------------------------- the start

    async def recovered(self) -> Move | None:
        """Return the state of the move, with what somebody who was killed has left in the middle of a switch done or taken back."""
        while (move := await self.place.move()) is not None and move.phase in HELD:
            if move.is_late or move.phase == REOPENING:
                await (self.place.settle(move) if move.phase == OPENING else self.place.reopen(move))
            await asyncio.sleep(FOLLOWED_EVERY_S)
        return move

    async def begin(self, to: str) -> Move:
        """Return the state of the move, which begins where there is none. ConfigError where the candidate has rows, or is another."""
        move = await self.place.move()
        if move is not None:
            if move.to != to:
                raise ConfigError(f"{self.name}: expected the candidate to which it is moved already, {move.to}; got {to}")
            return move
        await self._refuse_rows()
        await self.place.make_fences(self.name, are_open=True)
        await self.place.make_fences(self.candidate, are_open=False)
        position = await self._sequencer.settle()
        since = await self._own.ask(Get(self._here.leases, ("value",), [PRUNED]))
        await self._own.ask(Delete(self._there.leases, self._copied_ids()))  # of a move that is over, since which it was emptied
        await self._mark("from", position)
        await self._mark("log", since[PRUNED][0] if PRUNED in since else 0)
        move = Move(COPYING, 0, to)
        await self.place.begin(move)
        return move

    async def _refuse_rows(self) -> None:
        of_log = [(table, Compare("noun", "in", tuple(self._nouns))) for table in (self._there.versions, self._there.outbox)]
        looked: list[tuple[Collection, Where | None]] = [(its.target.target, None) for its in self._appliers.values()]
        for collection, which in [*looked, *of_log]:
            part = (await self._own.ask(Fetch(collection, collection.key, where=which, page=Page(limit=1)))).get(None)
            if part is not None and part.rows:
                raise ConfigError(f"{self.name}: expected a candidate without rows of it, got one that has some in {collection.name}")

    def _copied_ids(self) -> list[tuple[str]]:
        return [(f"copied:{noun}:{self.name}",) for noun in self._nouns]

    async def drop(self, move: Move) -> bool:
        """Forget a move that has not switched; what was copied stays where it is. False where it has gone on meanwhile."""
        removed = await self.place.remove(move)
        ids = [(f"{what}:{self.name}",) for what in ("from", "log")]
        await self._own.ask(Delete(self._there.leases, [*ids, *self._copied_ids()]))
        await self.place.remove_fences(self.candidate)
        return removed

    # ------------------------------------------------------------------------------------------------------------- switching

    async def unseen_s(self) -> float:
        """Return for how long there may be processes yet that write without a look at the fences, as they know of no candidate."""
        return await patiently(partial(self.place.fenced_at, self.name)) + FENCED_S - time.time()

    async def seen(self) -> None:
        """Carry the log until there are none of these."""
        while await self.unseen_s() > 0:
            await patiently(self.step)
            await asyncio.sleep(FOLLOWED_EVERY_S)

    async def _heard(self) -> None:
        """Carry the log until none counts as serving of which nothing was heard lately, as writes would wait for those."""
        until = time.monotonic() + MEMBER_S
        while time.monotonic() < until and await patiently(self.place.silent_s) > 0:
            await patiently(self.step)
            await asyncio.sleep(FOLLOWED_EVERY_S)

    async def switch(self, move: Move) -> Move:
        """Have the store and its candidate change places; return the state afterwards.

        Writes of the store wait meanwhile, for ``CLOSED_S`` at most. NotSwitched where the rest cannot be carried in that time, or
        processes are at work of which none knows of the candidate: the store is open where it was.
        """
        await self._refuse_others()
        await self.seen()
        for _ in range(100):
            await patiently(self._carry_outcomes)
            if await self.behind() <= NEAR_ROWS:
                break
            while await patiently(self.step):
                pass
        await self._heard()
        token = uuid4().hex
        closing = Move(CLOSING, move.generation, move.to, token, now(-CLOSED_S))
        await self.place.own_fences(self.candidate, token)
        if not await self.place.change(move, closing):
            raise NotSwitched(f"{self.name}: another command has gone on with its move")
        soon = partial(patiently, pause_s=SHORT_PAUSE_S)  # what others lock for a moment, for as long as there is time
        opening = Move(OPENING, move.generation + 1, move.to, token, now(-CLOSED_S - OPENING_S))
        try:
            async with asyncio.timeout(CLOSED_S - 0.5):
                await asyncio.sleep(2 * LOOKED_EVERY_S)  # for writes to wait, and not to be done again
                if not await soon(partial(self.place.close_fences, self.name, token)):
                    raise NotSwitched(f"{self.name}: expected fences that are open, as another command has closed some")
                while await soon(self.step):
                    pass
                await soon(self._carry_outcomes)
                deliveries = await soon(self._carry_deliveries)
                await soon(self._raise_pruned)
                await soon(self._mark_back)
            is_changed = await self.place.change(closing, opening)
        except BaseException as error:
            await self.place.reopen(closing)
            if isinstance(error, TimeoutError):
                raise NotSwitched(f"{self.name}: the rest was not carried within {CLOSED_S:g} s, and is not far: try again") from None
            raise
        if not is_changed:
            raise NotSwitched(f"{self.name}: it was opened again by another process, as this took too long: try again")
        for start in range(0, len(deliveries), ROWS_PER_PAGE):
            delete = Delete(self._here.deliveries, deliveries[start : start + ROWS_PER_PAGE])
            await soon(partial(self._own.ask, delete))
        self._turn(opening)
        while not opening.is_late:
            if await soon(partial(self.place.is_known, opening)):
                break
            await asyncio.sleep(ACKNOWLEDGED_S)
        if not await soon(partial(self.place.settle, opening)) and (await self.place.move() or opening).phase == OPENING:
            raise NotSwitched(f"{self.name}: it was switched, and another process ends that")
        return Move(SETTLED, opening.generation, opening.to)

    def _turn(self, move: Move) -> None:
        assert self._stores.gate is not None
        self._stores.swap(self.name)
        self._outcomes_since = None
        self._stores.gate.generations[self.name] = move.generation

    async def _refuse_others(self) -> None:
        beat = await heartbeat_at(self._own, self.name)
        if beat is not None and time.time() - beat < RELAY_S and not await self.place.members():
            known = f"stores.{self.name}.candidate in their settings"
            raise NotSwitched(f"{self.name}: expected processes with {known}, as a relay is at work; got none")
