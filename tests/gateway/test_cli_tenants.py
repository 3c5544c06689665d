"""Commands where there are tenants: whose stores they are about, and a gateway that serves them."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path
from urllib.error import HTTPError

import pytest

from gateway.errors import ConfigError
from tests.commands import invoked as run
from tests.gateway.test_cli_migrating import GRAPH
from tests.graphs import ask, environment, serving

SETTINGS = 'graph = "own:graph"\ntenant_header = "X-Tenant"\n'
TABLE = '[tenants.acme]\nsea = "sqlite:///acme.db"\nrock = "sqlite:///acme.db"\n[tenants.beta]\nsea = "sqlite:///beta.db"\nrock = "sqlite:///beta.db"\n'
TEMPLATE = '[tenant_urls]\nsea = "sqlite:///of/{tenant}.db"\nrock = "sqlite:///of/{tenant}.db"\n'


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(GRAPH.replace('Column("id", refers="Crab"), Column("name"))', 'Column("id", refers="Crab"),), managed=True'))
    sys.modules.pop("own", None)


def configured(text: str) -> None:
    Path("gateway.toml").write_text(SETTINGS + text)


def refusal(*arguments: str) -> str:
    error = run(*arguments).exception
    assert isinstance(error, ConfigError), error
    return error.message


def test_migrate_is_about_one_tenant_or_all_that_are_named() -> None:
    configured(TABLE)
    assert refusal("migrate").startswith("expected --tenant NAME, as each tenant has stores of its own")
    assert refusal("migrate", "--tenant", "gamma") == "--tenant gamma: no such tenant; there are acme, beta"
    assert refusal("migrate", "--tenant", "acme", "--all-tenants") == "gateway migrate: expected --tenant or --all-tenants, got both"

    one = run("migrate", "--tenant", "acme")
    assert one.exit_code == 0, one.exception
    assert (Path("acme.db").exists(), Path("beta.db").exists()) == (True, False)
    every = run("migrate", "--all-tenants").output.splitlines()
    assert every[:3] == ["acme:", "sea: nothing to do", "rock: nothing to do"]
    assert every[3] == "beta:"
    assert "fish" in tables("beta.db")
    assert "waiting" in run("migrate", "status", "--tenant", "beta").output


def test_a_tenant_that_fails_does_not_hold_the_others_up() -> None:
    configured(TABLE)
    Path("acme.db").write_bytes(b"no database at all, but a file of some length" * 50)
    result = run("migrate", "--all-tenants")
    assert result.exit_code == 1
    assert "fish" in tables("beta.db")


def test_a_template_has_any_tenant_and_no_list_of_them() -> None:
    configured(TEMPLATE)
    assert run("migrate", "--tenant", "fresh").exit_code == 0
    assert "fish" in tables("of/fresh.db")
    assert (
        refusal("migrate", "--all-tenants") == "--all-tenants: expected settings with a table for each tenant, got none; --tenant names one"
    )
    assert refusal("migrate", "--tenant", "../x").startswith("--tenant ../x: no such tenant; there are those whose name is of lower-case")


def test_a_tenant_is_named_only_where_there_are_some() -> None:
    Path("gateway.toml").write_text('graph = "own:graph"\n')
    assert refusal("migrate", "--tenant", "a") == "--tenant a: expected settings with tenants (tenant_header), got some without"


def test_check_looks_at_one_tenant_where_it_is_told() -> None:
    configured(TABLE)
    run("migrate", "--tenant", "acme")
    told = run("check")
    assert "Not checked: the stores of tenants, of which --tenant names one." in told.output + told.stderr
    assert "Stores that have what is declared: sea, rock." in run("check", "--tenant", "acme").output


def test_a_gateway_serves_tenants_from_their_files(tmp_path: Path) -> None:
    configured(TABLE)
    for name in ("acme", "beta"):
        run("migrate", "--tenant", name)
        with sqlite3.connect(f"{name}.db") as made:
            made.execute("INSERT INTO fish VALUES ('1', ?)", [f"{name}'s"])
        made.close()
    command = [sys.executable, "-m", "gateway", "serve", "--port", "0"]
    with serving(command, tmp_path, environment(GATEWAY_HEALTH_TOKEN="")) as (address, _):
        for name in ("acme", "beta", "acme"):
            assert ask(address, '{ fish(id: "1") { name } }', {"X-Tenant": name}) == {"data": {"fish": {"name": f"{name}'s"}}}
        with pytest.raises(HTTPError) as caught:
            ask(address, "{ __typename }", {"X-Tenant": "gamma"})
        assert caught.value.code == 404
        caught.value.close()


def tables(file: str) -> set[str]:
    with sqlite3.connect(file) as made:
        found = {str(name) for (name,) in made.execute("SELECT name FROM sqlite_master")}
    made.close()
    return found
