"""Where a store is at home that has a candidate: the state of its move, which is a row of the leases, and what a process makes of it.

    copying     rows are copied to the candidate
    following   the candidate follows the log, while ``gateway move`` is at work
    closing     writes wait until the log is carried to its end
    reopening   that took too long, and the store is opened again where it was
    opening     the two have changed places: writes wait until all processes know it
    settled     they did; with an odd generation the store is moved, with an even one it was taken back

The row is in the database of the setting ``url``, whoever is at home. A store is written only where it has fences that are open: 32 rows of
the leases, of which each transaction locks one to its commit, and who closes the store all. So what was closed is written no more, by any
process, whatever it knows; and what a process does not know yet it is told by ``Contended``, and does again.

Every process that serves has a row as well, which says what it knows and until when that holds. It looks four times a second. One that has
not looked for ``FRESH_S`` neither reads nor writes the store before it has, and its row ends later than that.

Who switches may be killed at any step. ``until`` is its time for that; afterwards any process takes back what was closing. What is opening
ends once all know it, whoever finds that. Every step is a compare-and-set, so only one of them is taken.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import monotonic
from uuid import uuid4

from gateway.errors import ConfigError, Conflict, GatewayError
from gateway.stores import Stores
from gateway.stores.base import And, Compare, Delete, Fetch, Get, Insert, Remove, Update, Upsert
from gateway.stores.moves import FENCES, Gate, candidate_of, fence_of
from gateway.writes.own import Own, again
from gateway.writes.tables import tables_of
from gateway.writes.times import moment_of, now
from gateway.writes.wake import wake

LOOKED_EVERY_S = 0.25
MEMBER_EVERY_S = 2.0
LEAVE_S = 0.4
FENCES_AT_ONCE = 4  # of a pool that requests need as well
MEMBER_S = 10.0  # more than twice FRESH_S: clocks of hosts may differ by as much as is left

NOBODY = "-"
COPYING, FOLLOWING, CLOSING, REOPENING, OPENING, SETTLED = "copying", "following", "closing", "reopening", "opening", "settled"
HELD = (CLOSING, REOPENING, OPENING)

_log = logging.getLogger("gateway.moves")


@dataclass(frozen=True, slots=True)
class Move:
    """The state of a move. ``token`` is of one try to switch, ``to`` names the candidate, without secrets."""

    phase: str
    generation: int
    to: str
    token: str = NOBODY
    until: str | None = None

    @property
    def is_late(self) -> bool:
        return self.until is None or moment_of(self.until).timestamp() < time.time()

    @property
    def text(self) -> str:
        return f"{self.phase} {self.token} {self.to}"


class Place:
    """Of one store with a candidate: reads and writes the state of its move."""

    def __init__(self, stores: Stores, name: str) -> None:
        assert stores.gate is not None
        self.name, self.candidate = name, candidate_of(name)
        self._gate: Gate = stores.gate
        self._own = Own(stores)
        self._id = f"move:{name}"

    @property
    def anchor(self) -> str:
        """The name that the database of the setting ``url`` has at this moment."""
        return self.candidate if self._gate.generations[self.name] % 2 else self.name

    async def move(self) -> Move | None:
        found = await self._own.ask(Get(tables_of(self.anchor).leases, ("owner", "until", "value"), [self._id]))
        if self._id not in found:
            return None
        owner, until, generation = found[self._id]
        phase, token, to = owner.split(" ", 2)
        return Move(phase, generation, to, token, until)

    def refuse_other(self, move: Move) -> None:
        """ConfigError where a store is at home in another candidate than that of these settings, which has rows of its own or none."""
        its = self._gate.called.get(self.name, move.to)
        if move.generation % 2 and _database(its) != _database(move.to):
            raise ConfigError(f"stores.{self.name}.candidate: expected the database that it was moved to, {move.to}; got {its}")

    async def begin(self, move: Move) -> None:
        """Write the first state. Conflict where there is one."""
        row = (self._id, move.text, move.until, move.generation)
        await self._own.ask(Insert(tables_of(self.anchor).leases, ("id", "owner", "until", "value"), [row]))

    async def change(self, old: Move, new: Move) -> bool:
        """Write another state; False where it is no more what it was."""
        values = (("owner", new.text), ("until", new.until), ("value", new.generation))
        expected = (("owner", old.text), ("value", old.generation))
        changed = await again(lambda: self._own.ask(Update(tables_of(self.anchor).leases, (self._id,), values, expected=expected)))
        return changed is not None and changed.is_done

    async def remove(self, move: Move) -> bool:
        """Forget a move; False where it is no more what it was."""
        expected = (("owner", move.text), ("value", move.generation))
        removed = await self._own.ask(Remove(tables_of(self.anchor).leases, (self._id,), expected=expected))
        return removed is not None and removed.is_done

    # ------------------------------------------------------------------------------------------------------------ fences

    async def remove_fences(self, store: str) -> None:
        await self._own.ask(Delete(tables_of(store).leases, [(fence_of(self.name, number),) for number in range(FENCES)]))

    async def make_fences(self, store: str, *, are_open: bool) -> None:
        """Have the fences of a store be there, with the time since when they are; those that are there stay as they are."""
        leases, ids = tables_of(store).leases, [fence_of(self.name, number) for number in range(FENCES)]
        there = await self._own.ask(Get(leases, ("value",), ids))
        for id_ in ids:
            if id_ not in there:
                with suppress(Conflict):  # another process made it
                    await self._own.ask(Insert(leases, ("id", "until", "value"), [(id_, now(), int(are_open))]))

    async def fenced_at(self, store: str) -> float:
        """Return since when all fences of a store are there that are, by the wall clock."""
        ids = [fence_of(self.name, number) for number in range(FENCES)]
        found = await self._own.ask(Get(tables_of(store).leases, ("until",), ids))
        return max((moment_of(until).timestamp() for (until,) in found.values() if until is not None), default=0.0)

    async def close_fences(self, store: str, token: str) -> bool:
        """Return whether all are closed, by us, and all transactions ended that had passed one."""
        return await self._set_fences(store, None, token)

    async def open_fences(self, store: str, token: str) -> None:
        """Open those that are closed, by this one."""
        await self._set_fences(store, token, None)

    async def own_fences(self, store: str, token: str) -> None:
        """Have the fences of a store, which are closed, be opened by this one alone."""
        leases = tables_of(store).leases
        for number in range(FENCES):
            await self._own.ask(Update(leases, (fence_of(self.name, number),), (("owner", token),), expected=(("value", 0),)))

    async def _set_fences(self, store: str, old: str | None, new: str | None) -> bool:
        leases, places = tables_of(store).leases, asyncio.Semaphore(FENCES_AT_ONCE)

        async def set_(id_: str) -> bool:
            is_open = int(new is None)
            values = (("value", is_open), ("owner", new))
            expected = (("owner", old), ("value", 1 - is_open))
            async with places:
                changed = await again(lambda: self._own.ask(Update(leases, (id_,), values, expected=expected)))
            return changed is not None and (changed.is_done or changed.before[1] == new)

        return all(await asyncio.gather(*(set_(fence_of(self.name, number)) for number in range(FENCES))))

    # ----------------------------------------------------------------------------------------------------------- members

    async def tell(self, owner: str, generation: int) -> None:
        """Say that a process knows of this generation."""
        await self._own.ask(Upsert(tables_of(self.anchor).leases, [(f"member:{self.name}:{owner}", None, now(-MEMBER_S), generation)]))

    async def leave(self, owner: str) -> None:
        await self._own.ask(Delete(tables_of(self.anchor).leases, [(f"member:{self.name}:{owner}",)]))

    async def members(self) -> Sequence[int]:
        """Return the generations that the processes know which serve now."""
        first = f"member:{self.name}:"
        which = And((Compare("id", "gt", first), Compare("id", "lt", f"{first}~"), Compare("until", "gt", now())))
        part = (await self._own.ask(Fetch(tables_of(self.anchor).leases, ("value",), where=which))).get(None)
        return [row[0] for row in part.rows] if part is not None else []

    async def silent_s(self) -> float:
        """Return for how long there may be processes yet that count as serving and have not said so lately, as one that was killed."""
        first = f"member:{self.name}:"
        late = now(2 * MEMBER_EVERY_S - MEMBER_S)
        which = And(
            (Compare("id", "gt", first), Compare("id", "lt", f"{first}~"), Compare("until", "gt", now()), Compare("until", "lt", late))
        )
        part = (await self._own.ask(Fetch(tables_of(self.anchor).leases, ("until",), where=which))).get(None)
        untils = [moment_of(row[0]).timestamp() for row in part.rows] if part is not None else []
        return max(untils, default=0.0) - time.time()

    async def is_known(self, move: Move) -> bool:
        """Return whether all processes that serve know of this generation."""
        return all(generation == move.generation for generation in await self.members())

    # ------------------------------------------------------------------------------------------------- what was left undone

    async def reopen(self, move: Move) -> None:
        """Take back what is closing."""
        if move.phase == CLOSING:
            before, move = move, replace(move, phase=REOPENING)
            if not await self.change(before, move):
                return
        await self.open_fences(self.name, move.token)
        await self.change(move, Move(FOLLOWING, move.generation, move.to))
        wake(self.name)

    async def settle(self, move: Move) -> bool:
        """End what is opening: the store is written where it is now."""
        await self.open_fences(self.name, move.token)
        return await self.change(move, Move(SETTLED, move.generation, move.to))


class Watcher:
    """Has a process know where its stores are at home: ``run`` looks for ever."""

    def __init__(self, stores: Stores) -> None:
        assert stores.gate is not None
        self._stores = stores
        self._gate = stores.gate
        self._owner = uuid4().hex
        self._places = {name: Place(stores, name) for name in sorted(self._gate.names)}
        self._known: dict[str, int] = {}  # the generation that was told
        self._told_at: dict[str, float] = {}
        self._fenced: set[str] = set()
        self._ill: set[str] = set()

    async def run(self) -> None:
        self._gate.is_watched = True
        try:
            await asyncio.gather(*(self._watch(name) for name in self._places))
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Have nobody wait for this process any more."""
        with suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await asyncio.gather(*(place.leave(self._owner) for place in self._places.values()))

    async def _watch(self, name: str) -> None:
        while True:
            try:
                await self.look(name)
                if name in self._ill:
                    self._ill.discard(name)
                    _log.info("%s: it is known again where it is at home", name)
            except Exception as error:
                if name not in self._ill:
                    self._ill.add(name)
                    said = error.message if isinstance(error, GatewayError) else f"{type(error).__name__}: {error}"
                    _log.warning("%s: it is not known where it is at home, for now: %s", name, said)
            await asyncio.sleep(LOOKED_EVERY_S)

    async def look(self, name: str) -> None:
        place, gate = self._places[name], self._gate
        if monotonic() - self._told_at.get(name, float("-inf")) >= MEMBER_EVERY_S:
            await self._tell(place)  # before it looks: who switches now waits for this process, or this look sees that
        at = monotonic()
        move = await place.move()
        if move is not None:
            place.refuse_other(move)
        generation = 0 if move is None else move.generation
        if (generation - gate.generations[name]) % 2:
            its = {*self._stores.sharing(name), *self._stores.sharing(place.candidate)}  # what they are at is theirs to the end
            with gate.changing(its):
                await gate.idle(its)
                self._stores.swap(name)
                gate.generations[name] = generation
            _log.warning("%s: it is at home %s now", name, "in its candidate" if generation % 2 else "where it was before")
            wake(name)
        gate.generations[name] = generation
        if name not in self._fenced:
            await place.make_fences(name, are_open=True)
            self._fenced.add(name)
        gate.hold(name, move is not None and move.phase in HELD)
        gate.seen(name, at)
        if self._known[name] != generation:
            await self._tell(place)
        if move is not None and move.phase == OPENING and await place.is_known(move):
            await place.settle(move)
        elif move is not None and move.phase in HELD and (move.is_late or move.phase == REOPENING):
            _log.warning("%s: who switched it has not ended that, which is done here", name)
            await (place.settle(move) if move.phase == OPENING else place.reopen(move))

    async def _tell(self, place: Place) -> None:
        """Say what this process knows, for ``MEMBER_S``."""
        generation = self._gate.generations[place.name]
        at = monotonic()
        await place.tell(self._owner, generation)
        self._known[place.name], self._told_at[place.name] = generation, at


async def orient(stores: Stores) -> None:
    """Have stores with a candidate be at home where they are, for a command: it looks once.

    One that cannot be asked, or has no tables yet, is where the settings say.
    """
    gate = stores.gate
    if gate is None:
        return
    gate.is_watched = False
    for name in sorted(gate.names):
        place, move = Place(stores, name), None
        with suppress(GatewayError):
            move = await place.move()
        if move is not None:
            place.refuse_other(move)
            if move.generation % 2:
                stores.swap(name)
            gate.generations[name] = move.generation


def _database(called: str) -> str:
    """Return what a URL names, whoever asks it."""
    return re.sub(r"//[^@/]*@", "//", called)
