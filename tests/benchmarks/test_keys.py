"""The benchmark of keys in its short form: the gateway and the endpoint by hand agree for every type of key."""

from __future__ import annotations

import re

import pytest

from tests.benchmarks.keys import main
from tests.benchmarks.shops import KEYS, SHOPS, customers, orders
from tests.kinds import kinds


@pytest.mark.parametrize("kind", kinds(SHOPS))
async def test_every_type_of_key_is_measured_and_answered_alike(kind: str) -> None:
    document, _ = await main([kind], customers=30, orders=100, rounds=2)
    rows = re.findall(r"^\| (text|bigint|uuid) \| (\d+\.\d+) \|", document, re.MULTILINE)
    assert [name for name, _ in rows] == [keys.name for keys in KEYS]
    assert all(float(ms) > 0 for _, ms in rows)
    assert "with 30 customers and 100 orders each" in document


def test_the_rows_of_all_types_of_key_are_the_same_but_for_their_keys() -> None:
    of_text, *others = ([*customers(keys, 7)] for keys in KEYS)
    assert all([name for _, name in rows] == [name for _, name in of_text] for rows in others)
    for keys in KEYS:
        known = {key for key, _ in customers(keys, 7)}
        rows = [*orders(keys, 20, 7)]
        assert len(known) == 7
        assert len({key for key, _, _ in rows}) == 20
        assert {customer for _, customer, _ in rows} == known, "each customer has some"
