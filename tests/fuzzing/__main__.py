"""Send mutated bodies and documents to the gateway, and check every answer.

    python -m tests.fuzzing [--count 100000] [--seed 1] [--processes 1] [--stores sqlite|live] [--replay REPRODUCER]

Samples are the README's queries, generated valid operations, GraphiQL's introspection, and the tables of bad and of hostile input; each
message is one of them, changed at random. Most go to the application in this process, 2 in 100 to a `gateway serve` over its socket.
An answer must be JSON of data or errors, every error with a message and a code, never status 500, never with anything of ours in it; and
the gateway must answer afterwards. What does not hold is printed with a reproducer, and the run ends with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import signal
import sys
import time
from collections.abc import Mapping, Sequence

import uvloop

from tests.fuzzing.runs import Outcome, fuzz, replay
from tests.samples import Sample, bad, generated, good, hostile_ones, introspection
from tests.serving import LAYOUTS, filled

SOCKET_SHARE = 0.02
GENERATED = 150
TELL_S = 0.25  # of CPU, from which on a message is told


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was made is removed all the same
    if options.replay:
        sys.exit(_replay(options.stores, options.replay))
    started = time.monotonic()
    outcome = _run(options)
    _report(outcome, time.monotonic() - started, options.seed)
    sys.exit(1 if outcome.findings else 0)


def samples(count: int = GENERATED) -> list[Sample]:
    """Return what is changed, with ``count`` generated operations among it. Good ones weigh as much as all bad ones."""
    valid = [*good(), *introspection(), *generated(count)]
    refused = [*bad(), *hostile_ones()]
    return valid * max(1, len(refused) // len(valid)) + refused


def _run(options: argparse.Namespace) -> Outcome:
    seeds = [options.seed + number for number in range(options.processes)]
    chosen = samples()
    share = -(-options.count // options.processes)
    work = [(options.stores, chosen, seed, share) for seed in seeds]
    if options.processes == 1:
        return _fuzz(*work[0])
    outcome = Outcome()
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part in pool.starmap(_fuzz, work):
            outcome.add(part)
    return outcome


def _fuzz(stores: str, chosen: Sequence[Sample], seed: int, count: int) -> Outcome:
    async def run() -> Outcome:
        over_socket = int(count * SOCKET_SHARE)
        async with filled(stores) as urls:
            return await fuzz(urls, chosen, seed=seed, count=count - over_socket, over_socket=over_socket)

    return uvloop.run(run())


def _replay(stores: str, reproducer: str) -> int:
    async def run() -> int:
        async with filled(stores) as urls:
            message, said = await replay(urls, reproducer)
        _say(repr(message) if len(repr(message)) < 4_000 else repr(message)[:4_000] + " …")
        for line in said:
            _say(line)
        return 1 if len(said) > 1 else 0

    return asyncio.run(run())


def _report(outcome: Outcome, seconds: float, seed: int) -> None:
    _say(f"{outcome.messages:,} messages in {seconds:.0f} s (seed {seed}).")
    _say(f"Statuses: {_counts(outcome.statuses)}.")
    _say(f"Codes: {_counts(outcome.codes)}.")
    slowest = ", ".join(f"{taken * 1e3:.0f}" for taken, _ in outcome.slowest)
    _say(f"Most CPU for one answer, ms: {slowest}.")
    for taken, reproducer in outcome.slowest:
        if taken > TELL_S:
            _say(f"  {taken * 1e3:.0f} ms: {reproducer}")
    for finding in outcome.findings:
        _say(f"\nFINDING {finding.where}: {finding.problem}\n  python -m tests.fuzzing --replay {finding.reproducer}")
    _say(f"\n{sum(outcome.kinds.values()):,} findings of {len(outcome.kinds)} kinds." if outcome.findings else "Nothing found.")


def _counts(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sorted(counted.items(), key=lambda item: -item[1])) or "none"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzzing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000, help="messages in all (100000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="processes, each with a seed of its own (1)")
    parser.add_argument(
        "--stores", choices=tuple(LAYOUTS), default="sqlite", help="live: on the servers of TEST_POSTGRES_URL and the others"
    )
    parser.add_argument("--replay", metavar="REPRODUCER", help="send one message again")
    options = parser.parse_args()
    if options.count < 1 or options.processes < 1:
        parser.error("--count and --processes: expected at least 1")
    return options


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
