"""Random reads of two tenants, with cancellations: the short form of ``python -m tests.tenants``."""

from __future__ import annotations

import pytest

from tests.forms import of_form
from tests.kinds import needs
from tests.servers import POSTGRESQL
from tests.tenants.__main__ import run

READS = of_form(3_000, 10_000)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=needs(POSTGRESQL))])
async def test_nobody_is_answered_with_rows_of_another_tenant(kind: str) -> None:
    found = await run(READS, kind=kind, clients=16, seed=1)
    assert (found.wrong, found.foreign) == ([], 0)
    assert found.answered > READS // 2
    assert found.cancelled > READS // 50
    assert found.opened > 2  # they were closed and opened again meanwhile
