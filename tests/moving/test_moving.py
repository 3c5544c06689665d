"""A short form of ``python -m tests.moving``: a noun goes there and back while it is written, and nothing fails, is lost or is stale."""

from __future__ import annotations

import pytest

from tests.forms import of_form
from tests.kinds import needs
from tests.moving.__main__ import Moved, run
from tests.servers import MONGODB, NEO4J, POSTGRESQL

PEOPLE = of_form(200, 2_000)
PAUSE_S = of_form(50, 0) / 1000  # of a client between a write with its reads and the next


def is_well(moved: Moved) -> None:
    assert moved.failed == []
    assert moved.wrong == []
    assert len(moved.move_s) == 2
    assert moved.requests["read"] > 0


@pytest.mark.long
async def test_users_go_to_another_file_and_back_with_the_command_killed() -> None:
    is_well(await run("sqlite", "sqlite", kills=1, clients=3, people=PEOPLE, seed=3, pause_s=PAUSE_S))


@pytest.mark.long
@needs(POSTGRESQL, MONGODB, NEO4J)
async def test_users_go_from_postgresql_to_mongodb_and_back() -> None:
    is_well(await run("live", "mongodb", kills=0, clients=3, people=PEOPLE, seed=5))
