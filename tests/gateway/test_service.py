"""One request after the other, without HTTP: what is left of each."""

from __future__ import annotations

import gc

import pytest

from gateway.service import Service
from schema import schema as graph
from tests.benchmarks.operations import Operation, operations
from tests.oracle.rows import odd_rows
from tests.services import executor, memory_stores

EACH = [pytest.param(operation, id=operation.name) for operation in operations(["User:9"])]


@pytest.mark.parametrize("operation", EACH)
async def test_a_request_leaves_nothing_to_the_garbage_collector(operation: Operation) -> None:
    """Rows that are kept by a circle of references wait for it, and finding them costs more than reading them did."""
    stores, _ = await memory_stores(odd_rows())
    execute = executor(Service(graph, stores))
    for _ in range(3):
        await execute(operation.query, operation.variables[0], operation.name)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await execute(operation.query, operation.variables[0], operation.name)
        assert gc.collect() < 10, "less than one object a request"
    finally:
        gc.enable()
