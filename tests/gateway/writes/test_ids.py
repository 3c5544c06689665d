"""Ids in the order of time, also within a millisecond and when the clock is set back."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from gateway.writes.ids import new_id


def test_an_id_is_a_uuid_of_version_7_with_its_time() -> None:
    made = UUID(new_id())
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert abs((made.int >> 80) / 1000 - time.time()) < 60


def test_ids_are_in_the_order_in_which_they_were_made() -> None:
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_stay_in_order_where_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    assert before < new_id() < new_id()
