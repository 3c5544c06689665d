"""PostgreSQL behind a pooler in transaction mode: ``?prepared=off``."""

from __future__ import annotations

import os
from typing import Any

import asyncpg
import pytest

from gateway.errors import ConfigError
from gateway.stores import connect
from gateway.stores.base import Collection, Column, Fetch, Order, Page, Type, Upsert
from gateway.stores.sql.asyncpg import AsyncpgDriver
from tests.kinds import needs, url_of
from tests.servers import POSTGRESQL

THINGS = Collection("things", "tested", (Column("id"), Column("made", Type.TIME), Column("data", Type.JSON)), managed=True)
TRACKED = {"application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings"}  # PgBouncer's parameters


def driver(url: str) -> AsyncpgDriver:
    return AsyncpgDriver("tested", url, pool_size=2, connect_timeout_s=2.0, timeout_s=3.0)


@pytest.mark.parametrize("value", ["", "no", "off&prepared=on"])
def test_another_word_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^stores.tested.url: expected prepared=on or prepared=off, got prepared="):
        driver(f"postgresql://h/x?prepared={value}")


async def test_nothing_is_prepared_and_no_parameter_sent_that_a_pooler_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    async def connecting(dsn: str, **options: Any) -> Any:
        asked.append((dsn, options))
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", connecting)
    for url in ("postgresql://u@h/x?prepared=off&sslmode=disable", "postgresql://u@h/x?sslmode=disable&prepared=on", "postgresql://u@h/x"):
        made = driver(url)
        await made.open()
        with pytest.raises(Exception, match="unavailable"):
            await made.ping()
    (off, pooled), (on, usual), (plain, _) = asked
    assert (off, on, plain) == ("postgresql://u@h/x?sslmode=disable", "postgresql://u@h/x?sslmode=disable", "postgresql://u@h/x")
    assert pooled["statement_cache_size"] == 0
    assert usual["statement_cache_size"] > 0
    assert set(pooled["server_settings"]) <= TRACKED
    assert "statement_timeout" in usual["server_settings"]


@needs(POSTGRESQL)
async def test_it_answers_as_it_does_with_prepared_statements() -> None:
    async with url_of("postgresql") as url:
        store = connect("tested", f"{url}{'&' if '?' in url else '?'}prepared=off")
        await store.open()
        try:
            await store.migrate("tested", [THINGS], None)
            await store.answer(Upsert(THINGS, [("a", "2024-01-01T00:00:00.000Z", {"x": [1]}), ("b", "2024-01-02T00:00:00.000Z", {})]))
            for _ in range(3):
                found = await store.answer(Fetch(THINGS, ("id", "made", "data"), order=(Order("made", True),), page=Page(1)))
                assert [tuple(row) for row in found[None].rows] == [("b", "2024-01-02T00:00:00.000Z", {})]
        finally:
            await store.close()


@needs(POSTGRESQL)
async def test_the_server_keeps_no_statement_of_it() -> None:
    made = driver(f"{os.environ['TEST_POSTGRES_URL']}?prepared=off")
    await made.open()
    try:
        await made.fetch("SELECT 1 + $1::int", (1,))
        assert await made.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''", ()) == []
    finally:
        await made.close()
