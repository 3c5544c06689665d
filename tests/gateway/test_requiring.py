"""What a start requires of its stores (setting ``startup``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import preparing
from gateway.config import Settings
from gateway.errors import StoresNotReady
from gateway.migrating import migrate
from gateway.preparing import connect, require
from tests.commands import invoked as run
from tests.gateway.test_checkup import GRAPH, locked
from tests.gateway.test_cli import ENDED, closed_port, in_an_empty_folder, names, serving, spawn
from tests.kinds import kinds, url_of

__all__ = ["in_an_empty_folder"]  # a fixture of all that is here

# How long a store may take, where the machine is busy. A start that waited for one of these, instead of hearing that it is refused, would
# be ended by the limit of the start, which is shorter, and say so.
PATIENT = dict.fromkeys(("connect_timeout_s", "store_timeout_s", "store_write_timeout_s", "pool_wait_s"), 300)
PATIENT_VARIABLES = {f"GATEWAY_{name.upper()}": str(seconds) for name, seconds in PATIENT.items()}


@pytest.fixture(autouse=True)
def with_time_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "REQUIRED_S", 60.0)


def settings_of(url: str, **more: str) -> Settings:
    return Settings.model_validate({"stores": {"paper": {"url": url, **more}}, "startup": "require", **PATIENT})


async def told(settings: Settings, *, migrated: bool = False, later: tuple[str, ...] = ()) -> str:
    """Return why a start is refused; nothing where it is not."""
    stores = connect(settings)
    await stores.open()
    try:
        if migrated:
            await migrate(stores, GRAPH, "paper")
        await require(stores, GRAPH, settings, settings.required, migrated_later=later)
    except StoresNotReady as error:
        return error.message
    finally:
        await stores.close()
    return ""


@pytest.mark.parametrize("kind", kinds(("sqlite", "postgresql", "mongodb", "neo4j")))
async def test_what_waits_in_a_store_ends_the_start_until_it_is_migrated(kind: str) -> None:
    async with url_of(kind) as url:
        settings = settings_of(url)
        line = await told(settings)
        assert line.startswith("store paper: ")
        assert " for gateway migrate, the first is CREATE " in line or " for gateway migrate, the first is db.createCollection(" in line
        assert line.endswith(" (startup = 'require')")
        assert "\n" not in line
        assert await told(settings, later=("paper",)) == ""
        assert await told(settings, migrated=True) == ""


@pytest.mark.parametrize("kind", kinds(("postgresql", "mongodb", "neo4j")))
async def test_a_store_that_somebody_migrates_ends_the_start(kind: str) -> None:
    async with url_of(kind) as url:
        settings = settings_of(url)
        stores = connect(settings)
        await stores.open()
        try:
            await migrate(stores, GRAPH, "paper")
            async with locked(stores, url):
                line = await told(settings)
        finally:
            await stores.close()
    held = "store paper: expected a store that nobody migrates, and the lock of its migrations is held (startup = 'require')"
    assert line == held


def test_a_setting_of_the_store_is_stronger() -> None:
    assert settings_of("memory://").required == {"paper"}
    assert settings_of("memory://", startup="degraded").required == frozenset()


@pytest.mark.parametrize("command", ["serve", "check"])
def test_a_required_store_that_is_away_ends_the_command_with_one_line(command: str) -> None:
    assert run("migrate").exit_code == 0
    port = closed_port()
    url = f"postgresql://me:secret@127.0.0.1:{port}/x"
    ended = ENDED[command](command, GATEWAY_STARTUP="require", DATABASE_URL=url, **PATIENT_VARIABLES)
    away = f"is unavailable at 'postgresql+asyncpg://me:***@127.0.0.1:{port}/x': nobody listens there (connection refused)"
    line = f"gateway: The store 'users' {away}; The store 'posts' {away} (startup = 'require')\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", line)


def test_production_requires_its_stores() -> None:
    urls = {f"GATEWAY_STORES__{name.upper()}__URL": f"sqlite:///{name}.db" for name in ("posts", "events", "recommendations")}
    variables = {"GATEWAY_ENVIRONMENT": "production", "GATEWAY_ALLOWED_HOSTS": "127.0.0.1", **urls, **PATIENT_VARIABLES}
    ended = spawn("serve", "--port", "0", GATEWAY_STORES__USERS__URL=f"postgresql://127.0.0.1:{closed_port()}/x", **variables)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1


def test_stores_that_are_not_required_may_be_away() -> None:
    away = {"DATABASE_URL": f"postgresql://127.0.0.1:{closed_port()}/x", "GATEWAY_STARTUP": "require"}
    one_by_one = {"GATEWAY_STORES__USERS__STARTUP": "degraded", "GATEWAY_STORES__POSTS__STARTUP": "degraded"}
    with serving(**away, **one_by_one, **PATIENT_VARIABLES) as (address, _):
        assert address


def test_a_start_that_requires_its_stores_migrates_embedded_ones_first() -> None:
    with serving(GATEWAY_STARTUP="require", **PATIENT_VARIABLES) as (address, _):
        assert len(names(address)) == 50
    assert run("check").exit_code == 0
    assert Path("data/users.db").exists()
