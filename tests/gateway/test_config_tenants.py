"""Tenants and sources in the settings: whose databases they are, and each sentence about what cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config import Settings, load_settings, samples_of, settings_of
from gateway.errors import ConfigError

STORES = ("people", "things")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith("GATEWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def loaded(toml: str) -> Settings:
    Path("gateway.toml").write_text(toml, encoding="utf-8")
    return load_settings(STORES)


HEAD = 'tenant_header = "X-Tenant"\n'
TEMPLATES = '[tenant_urls]\npeople = "postgresql://db/{tenant}"\nthings = "mongodb://db/{tenant}"\n'
ACME = '[tenants.acme]\npeople = "postgresql://db/acme"\nthings = "mongodb://db/acme"\n'


def test_a_tenant_of_the_table_has_its_urls_and_nothing_of_tenants() -> None:
    its = settings_of(loaded(HEAD + ACME), "acme")
    assert its.urls == {"people": "postgresql+asyncpg://db/acme", "things": "mongodb://db/acme"}
    assert (its.tenant_header, its.tenants, its.tenant_urls) == ("", {}, {})
    with pytest.raises(LookupError):
        settings_of(loaded(HEAD + ACME), "other")


def test_a_template_makes_the_urls_of_every_name_and_the_table_is_before_it() -> None:
    settings = loaded(HEAD + TEMPLATES + '[tenants.big]\npeople = "postgresql://large/own"\n')
    assert settings_of(settings, "a-1").urls == {"people": "postgresql+asyncpg://db/a-1", "things": "mongodb://db/a-1"}
    assert settings_of(settings, "big").urls == {"people": "postgresql+asyncpg://large/own", "things": "mongodb://db/big"}
    assert [its.urls["people"] for its in samples_of(settings)] == ["postgresql+asyncpg://large/own", "postgresql+asyncpg://db/any"]
    for name in ("A", "a_b", "a/b", "..", "", "a--b", "-a", "ä", "a\n", "a" * 41, "{tenant}"):
        with pytest.raises(LookupError):
            settings_of(settings, name)


def test_a_store_in_common_has_the_url_of_the_settings() -> None:
    shared = (
        HEAD + 'tenants_shared = ["things"]\n[stores.things]\nurl = "mongodb://db/all"\n[tenants.acme]\npeople = "postgresql://db/acme"\n'
    )
    assert settings_of(loaded(shared), "acme").urls == {"people": "postgresql+asyncpg://db/acme", "things": "mongodb://db/all"}


def test_each_tenant_signs_with_a_key_of_its_own() -> None:
    settings = loaded(HEAD + 'written_key = "a-key-of-all-processes"\n' + TEMPLATES)
    keys = {settings_of(settings, name).written_key for name in ("a", "b")} | {settings.written_key}
    assert len(keys) == 3
    assert settings_of(settings, "a").written_key in keys


def test_tables_may_be_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_TENANT_HEADER", "X-Tenant")
    monkeypatch.setenv("GATEWAY_TENANT_URLS", '{"people": "postgresql://db/{tenant}", "things": "mongodb://db/{tenant}"}')
    assert settings_of(load_settings(STORES), "a").urls["things"] == "mongodb://db/a"
    monkeypatch.setenv("GATEWAY_TENANT_URLS", "postgresql://db/{tenant}")
    with pytest.raises(ConfigError, match=r"^GATEWAY_TENANT_URLS: expected a JSON object$"):
        load_settings(STORES)


def test_production_wants_no_url_of_a_store_that_is_tenants_own() -> None:
    assert loaded('environment = "production"\n' + HEAD + ACME).stores["people"].url == ""


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        (ACME, "gateway.toml: tenants: expected tenant_header, too, the header that says whose a request is; got none"),
        (HEAD, "gateway.toml: tenant_header: expected tenants, in [tenants.NAME] or by URLs for all stores in tenant_urls; got none"),
        ('tenant_header = "X Tenant"\n', "gateway.toml: tenant_header = 'X Tenant': expected the name of a header, such as X-Tenant"),
        (
            HEAD + '[tenants.acme]\npeople = "postgresql://db/acme"\n',
            "gateway.toml: tenants.acme: expected a URL for the store things, here or as a template in tenant_urls; got none",
        ),
        (
            HEAD + ACME.replace("acme]", "Acme]"),
            "gateway.toml: tenants.Acme: expected a tenant's name of at most 40 lower-case letters and digits, with single - between them;"
            " got 'Acme'",
        ),
        (HEAD + ACME + 'cats = "mongodb://db/c"\n', "tenants.acme.cats: expected one of the stores people, things; got cats"),
        (HEAD + '[tenants]\nacme = "postgresql://db/acme"\n', "expected a table for each tenant, with URLs by store"),
        (
            HEAD + 'tenant_default = "other"\n' + ACME,
            "gateway.toml: tenant_default = 'other': expected the name of a tenant, and there is none of this name",
        ),
        (
            HEAD + 'socket_headers = ["x-tenant"]\n' + ACME,
            "gateway.toml: socket_headers: expected headers that clients may give themselves, got X-Tenant, which a proxy sets",
        ),
        (
            HEAD + ACME + '[stores.people]\nurl = "postgresql://db/all"\n',
            "gateway.toml: stores.people.url: expected no URL, as each tenant has its own; or name the store in tenants_shared, to have it"
            " in common",
        ),
        (
            HEAD + ACME + '[stores.people]\nreplicas = ["postgresql://db2/acme"]\n',
            "gateway.toml: stores.people.replicas: expected auto, as replicas by URL would be one tenant's and read for all",
        ),
        (
            HEAD + ACME + ACME.replace("acme]", "beta]"),
            "gateway.toml: tenants.beta.people: expected a database that is no other tenant's, got the URL that acme has",
        ),
        (
            HEAD + TEMPLATES + ACME.replace("acme]", "beta]"),
            "gateway.toml: tenants.beta.people: expected a database that is no other tenant's, got the URL that acme has",
        ),
        (
            HEAD + ACME.replace('people = "postgresql://db/acme"', 'people = "memory://"'),
            "acme.people: expected a database that is there when its pool is not, for a tenant's is closed and opened; got one in memory",
        ),
        (
            HEAD + ACME + '[tenants.beta]\npeople = "sqlite:///b.db"\nthings = "mongodb://db/b"\n',
            "gateway.toml: tenants.beta.people: expected postgresql, as another tenant has for the store people; got sqlite",
        ),
        (
            HEAD + TEMPLATES.replace("db/{tenant}", "db/all"),
            "gateway.toml: tenant_urls.people = 'postgresql://db/all': expected a URL with one {tenant}",
        ),
        (
            HEAD + TEMPLATES.replace("db/{tenant}", "db/shop-{tenant}"),
            "gateway.toml: tenant_urls.people = 'postgresql://db/shop-{tenant}': expected no lower-case letter, digit or - beside {tenant},"
            " where a name would go on",
        ),
        (
            HEAD + '[tenant_urls]\npeople = "sqlite:///d/{tenant}/x.db"\nthings = "sqlite:///d/y/{tenant}.db"\n',
            "gateway.toml: tenant_urls.people: expected databases that no two tenants have; people of y would be things of x",
        ),
        (
            HEAD + ACME + '[sources.people]\nold = "postgresql://db/old"\n',
            "gateway.toml: sources: expected no sources beside tenants, each of which has databases of its own; got some",
        ),
        (
            '[sources.cats]\nold = "postgresql://db/old"\n',
            "sources.cats: expected one of the stores people, things; got cats",
        ),
        (
            '[sources.people]\nOLD = "postgresql://db/old"\n',
            "sources.people.OLD: expected a name of at most 40 lower-case letters, digits, _ and -, that begins with a letter",
        ),
        ('[sources.people]\nold = "postgresql://u:secret@"\n', "gateway.toml: sources.people.old = 'postgresql://u:***@': expected "),
    ],
)
def test_what_cannot_be_is_one_sentence(toml: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(toml)
    assert line in caught.value.message
    assert "\n" not in caught.value.message
    assert "secret" not in caught.value.message


def test_stores_of_one_tenant_may_be_in_one_database() -> None:
    settings = loaded(HEAD + '[tenant_urls]\npeople = "postgresql://db/{tenant}"\nthings = "postgresql://db/{tenant}"\n')
    assert set(settings_of(settings, "a").urls.values()) == {"postgresql+asyncpg://db/a"}
