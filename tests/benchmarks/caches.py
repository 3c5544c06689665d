"""What documents and plans weigh, and what reading them takes: the figures by which their cache is bounded.

python -m tests.benchmarks.caches
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

from gateway.engine.complete import Builders
from gateway.engine.document import weight_of
from gateway.engine.parsing import parse
from gateway.security.limits import Limits
from gateway.service import Service, weight_of_plan
from gateway.stores import Stores
from schema import schema as graph

_T = TypeVar("_T")

MANY = 1_000_000
LIMITS = Limits(
    selections_max=MANY, aliases_max=MANY, tokens_max=MANY, query_limit_bytes=MANY, root_fields_max=MANY, cost_max=MANY, depth_max=100
)


def nested(count: int) -> str:
    return "{ users { nodes { " + " ".join(f"p{i}: posts(first: 1) {{ nodes {{ id title content }} }}" for i in range(count)) + " } } }"


def flat(count: int) -> str:
    return "{ users { nodes { " + " ".join(f"a{i}: name" for i in range(count)) + " } } }"


DOCUMENTS = {
    "10 fields": flat(10),
    "300 fields": flat(300),
    "1 connection": nested(1),
    "10 connections": nested(10),
    "100 connections": nested(100),
    "330 connections": nested(330),
}


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> None:
    head = f"{'document':16} {'tokens':>7} {'bytes':>9} {'weight':>9}   {'plan bytes':>10} {'weight':>9}"
    say(f"{head}   {'read':>6} {'plan':>6} {'compile':>7} ms")
    for name, text in DOCUMENTS.items():
        service = Service(graph, Stores({}), LIMITS)
        _, tokens = parse(text, LIMITS)
        (document, _), held, _ = _measured(lambda text=text: parse(text, LIMITS))  # type: ignore[misc]
        del document
        read_document, _, read_ms = _measured(lambda text=text, service=service: service.documents.get(text), trace=False)  # type: ignore[misc]
        operation = read_document.operation(None)
        plan, plan_bytes, plan_ms = _measured(
            lambda service=service, d=read_document, o=operation: service.planner.plan(d, o, {})  # type: ignore[misc]
        )
        _, compiled_bytes, _ = _measured(lambda plan=plan: Builders(plan))  # type: ignore[misc]
        _, _, compile_ms = _measured(lambda plan=plan: Builders(plan), trace=False)  # type: ignore[misc]
        say(
            f"{name:16} {tokens:7,} {held:9,} {weight_of(text, tokens):9,}   {plan_bytes + compiled_bytes:10,} {weight_of_plan(plan):9,}"
            f"   {read_ms:6.2f} {plan_ms:6.2f} {compile_ms:7.2f}"
        )


def _measured(work: Callable[[], _T], *, trace: bool = True) -> tuple[_T, int, float]:
    """Return what ``work`` gives, the bytes that are held after it (with ``trace``), and its milliseconds of CPU."""
    gc.collect()
    if trace:
        tracemalloc.start()
    before, started = tracemalloc.get_traced_memory()[0] if trace else 0, time.process_time()
    result = work()
    seconds = time.process_time() - started
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before if trace else 0
    tracemalloc.stop()
    return result, held, seconds * 1_000


if __name__ == "__main__":
    main()
