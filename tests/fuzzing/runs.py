"""Send mutated messages and check every answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.fuzzing.checks import codes, problems
from tests.fuzzing.gateways import ALIVE, ALIVE_BODY, BehindSocket, GoneError, InProcess, behind_socket, in_process
from tests.fuzzing.messages import Message
from tests.fuzzing.mutators import Mutator
from tests.samples import Sample

ALIVE_EVERY = 100  # messages
SAME_FINDINGS = 3  # of one kind; more tell nothing new
SLOWEST = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What did not hold, and the message to send again."""

    where: str
    problem: str
    reproducer: str

    @property
    def kind(self) -> str:
        return self.problem[:90]


@dataclass(slots=True)
class Outcome:
    """What came of the messages of one run. ``slowest`` has (seconds of CPU, reproducer)."""

    messages: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    slowest: list[tuple[float, str]] = field(default_factory=list)

    def found(self, where: str, problem: str, message: Message) -> None:
        finding = Finding(where, problem, message.reproducer())
        self.kinds[finding.kind] += 1
        if self.kinds[finding.kind] <= SAME_FINDINGS:
            self.findings.append(finding)

    def took(self, seconds: float, message: Message) -> None:
        if len(self.slowest) < SLOWEST or seconds > self.slowest[-1][0]:
            self.slowest = sorted([*self.slowest, (seconds, message.reproducer())], reverse=True)[:SLOWEST]

    def add(self, other: Outcome) -> None:
        self.messages += other.messages
        self.statuses += other.statuses
        self.codes += other.codes
        for finding in other.findings:
            if sum(mine.kind == finding.kind for mine in self.findings) < SAME_FINDINGS:
                self.findings.append(finding)
        self.kinds += other.kinds
        self.slowest = sorted([*self.slowest, *other.slowest], reverse=True)[:SLOWEST]


async def fuzz(urls: Mapping[str, str], samples: Sequence[Sample], *, seed: int, count: int, over_socket: int) -> Outcome:
    """Send ``count`` messages to the application in this process and ``over_socket`` others to a process of its own."""
    mutator = Mutator(samples, seed)
    outcome = Outcome()
    async with in_process(urls) as gateway:
        await _send_all(gateway, "in process", [*range(count)], mutator, outcome)
    if over_socket:
        async with behind_socket(urls) as served:
            await _send_all(served, "over a socket", [*range(count, count + over_socket)], mutator, outcome)
    return outcome


async def _send_all(gateway: InProcess | BehindSocket, where: str, numbers: Sequence[int], mutator: Mutator, outcome: Outcome) -> None:
    message = ALIVE
    try:
        for done, number in enumerate(numbers, start=1):
            message = mutator.message(number)
            await send_one(gateway, where, message, outcome)
            if done % ALIVE_EVERY == 0 or done == len(numbers):
                await _look_alive(gateway, where, message, outcome)
    except (GoneError, OSError) as exc:
        outcome.found(where, f"the gateway is gone: {exc}", message)


async def send_one(gateway: InProcess | BehindSocket, where: str, message: Message, outcome: Outcome) -> None:
    """Send a message, and note in ``outcome`` what came of it."""
    outcome.messages += 1
    started = time.process_time()
    try:
        answer = await gateway.send(message)
    except (GoneError, OSError):
        raise
    except Exception as exc:
        outcome.found(where, f"expected an answer, got {exc!r}", message)
        return
    if isinstance(gateway, InProcess):
        outcome.took(time.process_time() - started, message)
    if answer is None:
        outcome.statuses["none"] += 1
        if message.is_whole and message.head is None:
            outcome.found(where, "expected an answer to a whole request, got a closed connection", message)
        return
    outcome.statuses[str(answer.status)] += 1
    outcome.codes.update(set(codes(answer)))
    raised = gateway.log.last if isinstance(gateway, InProcess) else ""
    for problem in problems(message, answer):
        outcome.found(where, f"{problem} [{raised}]" if raised else problem, message)


async def _look_alive(gateway: InProcess | BehindSocket, where: str, message: Message, outcome: Outcome) -> None:
    answer = await gateway.send(ALIVE)
    if answer is None or answer.body != ALIVE_BODY:
        outcome.found(where, f"expected {ALIVE_BODY!r} to {{__typename}} afterwards, got {answer}", message)


async def replay(urls: Mapping[str, str], reproducer: str) -> tuple[Message, list[str]]:
    """Send one message again, in process and over a socket; return it, and what was wrong with each answer."""
    message = Message.again(reproducer)
    outcome = Outcome()
    async with in_process(urls) as gateway:
        if message.head is None:
            await send_one(gateway, "in process", message, outcome)
    async with behind_socket(urls) as served:
        await send_one(served, "over a socket", message, outcome)
    said = [f"{finding.where}: {finding.problem}" for finding in outcome.findings]
    return message, [*said, f"statuses {dict(outcome.statuses)}, codes {dict(outcome.codes)}"]
