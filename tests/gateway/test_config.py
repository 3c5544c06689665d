"""Settings: which source wins, and the one line for every value that cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.config import Settings, audit_setting, graph_setting, hidden, load_settings, normal_origin
from gateway.errors import ConfigError
from gateway.stores.kinds import normal_url

STORES = ("people", "things")
PLAIN = {"DATABASE_URL": ("people", "things"), "MONGO_URL": ("things",)}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith("GATEWAY_") or name.removesuffix("_FILE") in PLAIN:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write_toml(text: str, path: str = "gateway.toml") -> None:
    Path(path).write_text(text, encoding="utf-8")


def line_of(**overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(STORES, PLAIN, **overrides)
    assert "\n" not in caught.value.message
    return caught.value.message


# ---------------------------------------------------------------------------------------------------------- which one wins


def test_without_anything_each_store_is_a_sqlite_file_in_the_data_folder() -> None:
    settings = load_settings(STORES, PLAIN)
    assert settings.urls == {"people": "sqlite+aiosqlite:///data/people.db", "things": "sqlite+aiosqlite:///data/things.db"}
    assert (settings.host, settings.port, settings.environment) == ("127.0.0.1", 8000, "development")
    assert (settings.page_default, settings.page_max, settings.nodes_max) == (10, 100, 1000)
    assert (settings.request_deadline_s, settings.store_timeout_s, settings.store_write_timeout_s, settings.connect_timeout_s) == (
        10,
        3,
        5,
        2,
    )
    assert settings.body_limit_bytes == 1_048_576
    assert (settings.migrate, settings.migrate_lock_timeout_s) == (False, 60)


def test_settings_themselves_read_nothing_but_their_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "1234")
    write_toml("port = 2345")
    assert Settings().port == 8000
    assert Settings(port=9).port == 9


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('port = 1\nhost = "a"\npage_max = 20')
    monkeypatch.setenv("GATEWAY_PORT", "2")
    monkeypatch.setenv("GATEWAY_HOST", "b")
    settings = load_settings(STORES, PLAIN, port="3", host=None)
    assert (settings.port, settings.host, settings.page_max) == (3, "b", 20)


def test_a_stores_own_variable_wins_over_the_plain_one_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('[stores.people]\nurl = "memory://"\npool_size = 3\n[stores.things]\nurl = "memory://"')
    monkeypatch.setenv("DATABASE_URL", "postgres://one/db")
    assert load_settings(STORES, {"DATABASE_URL": ("people",)}).urls == {"people": "postgresql+asyncpg://one/db", "things": "memory://"}
    monkeypatch.setenv("GATEWAY_STORES__PEOPLE__URL", "postgresql://two/db")
    settings = load_settings(STORES, PLAIN)
    assert settings.urls == {"people": "postgresql+asyncpg://two/db", "things": "postgresql+asyncpg://one/db"}
    assert settings.stores["people"].pool_size == 3


def test_a_pool_size_alone_leaves_the_default_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_STORES__THINGS__POOL_SIZE", "4")
    store = load_settings(STORES, PLAIN).stores["things"]
    assert (store.url, store.pool_size) == ("sqlite+aiosqlite:///data/things.db", 4)


def test_the_data_folder_moves_the_default_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path / "x"))
    assert load_settings(STORES, PLAIN).urls["people"] == f"sqlite+aiosqlite:///{tmp_path}/x/people.db"


def test_gateway_config_names_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml("port = 7", "other.toml")
    monkeypatch.setenv("GATEWAY_CONFIG", "other.toml")
    assert load_settings(STORES, PLAIN).port == 7


def test_empty_variables_are_as_if_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY_PORT", "GATEWAY_STORES__PEOPLE__URL", "DATABASE_URL", "GATEWAY_CONFIG"):
        monkeypatch.setenv(name, "")
    settings = load_settings(STORES, PLAIN)
    assert (settings.port, settings.urls["people"]) == (8000, "sqlite+aiosqlite:///data/people.db")


def test_a_smaller_greatest_page_makes_the_default_page_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PAGE_MAX", "5")
    assert load_settings(STORES, PLAIN).page_default == 5


# -------------------------------------------------------------------------------------------------------------- what is wrong

OF_A_STORE = (
    "url, pool_size, startup, replicas, max_lag_s, slow_query_ms, coalesce, stale_if_error_s, stale_collections, candidate, ab, shadow"
)
URLS = "postgresql://, mongodb://, neo4j://, bolt:// with a host, sqlite:/// with a path, or memory://"


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("GATEWAY_PORT", "abc", "GATEWAY_PORT = 'abc': expected a port from 0 to 65535"),
        ("GATEWAY_PORT", "65536", "GATEWAY_PORT = '65536': expected a port from 0 to 65535"),
        ("gateway_port", "x", "gateway_port = 'x': expected a port from 0 to 65535"),
        ("GATEWAY_HOST", "a b", "GATEWAY_HOST = 'a b': expected a host name or an address"),
        ("GATEWAY_ENVIRONMENT", "prod", "GATEWAY_ENVIRONMENT = 'prod': expected development or production"),
        ("GATEWAY_DATA_DIR", "gateway.toml", "GATEWAY_DATA_DIR = 'gateway.toml': expected a folder, or where one can be made"),
        ("GATEWAY_PAGE_MAX", "0", "GATEWAY_PAGE_MAX = '0': expected rows of a page, from 1 to 10000"),
        (
            "GATEWAY_FILTER_CONDITIONS_MAX",
            "999",
            "GATEWAY_FILTER_CONDITIONS_MAX = '999': expected a number of conditions of a filter, from 1 to 500",
        ),
        ("GATEWAY_FILTER_DEPTH_MAX", "21", "GATEWAY_FILTER_DEPTH_MAX = '21': expected a number of levels of a filter, from 1 to 20"),
        (
            "GATEWAY_FILTER_IN_MAX",
            "40000",
            "GATEWAY_FILTER_IN_MAX = '40000': expected a number of items of a list in a filter, from 1 to 10000",
        ),
        ("GATEWAY_PAGE_DEFAULT", "101", "GATEWAY_PAGE_DEFAULT = '101': expected at most page_max, which is 100"),
        ("GATEWAY_STORE_TIMEOUT_S", "0", "GATEWAY_STORE_TIMEOUT_S = '0': expected seconds, more than 0 and at most 3600"),
        ("GATEWAY_STORE_TIMEOUT_S", "nan", "GATEWAY_STORE_TIMEOUT_S = 'nan': expected seconds, more than 0 and at most 3600"),
        ("GATEWAY_PROT", "1", "GATEWAY_PROT: no such setting; did you mean GATEWAY_PORT?"),
        ("GATEWAY_CONFIG", "no.toml", "GATEWAY_CONFIG = 'no.toml': expected the path of a TOML file, and there is none"),
        ("GATEWAY_STORES", "{", "GATEWAY_STORES: expected a JSON object, or one GATEWAY_STORES__<NAME>__URL per store"),
        (
            "GATEWAY_STORES__PEOPLE",
            "x",
            f"GATEWAY_STORES__PEOPLE = 'x': expected a table with {OF_A_STORE}",
        ),
        ("GATEWAY_STORES__PEOPEL__URL", "memory://", "GATEWAY_STORES__PEOPEL__URL: no such store; the example has people, things"),
        (
            "GATEWAY_STORES__PEOPLE__URI",
            "memory://",
            f"GATEWAY_STORES__PEOPLE__URI: no such setting; expected one of {OF_A_STORE}",
        ),
        ("GATEWAY_STORES__PEOPLE__URL", "mysql://h/d", f"GATEWAY_STORES__PEOPLE__URL = 'mysql://h/d': expected {URLS}"),
        ("DATABASE_URL", "mysql://u:pass@h/d", f"DATABASE_URL = 'mysql://u:***@h/d': expected {URLS}"),
        (
            "GATEWAY_PORT",
            "tcp://10.0.0.1:80",
            "GATEWAY_PORT = 'tcp://10.0.0.1:80': expected a port from 0 to 65535"
            " (a Kubernetes service named gateway sets it: enableServiceLinks: false)",
        ),
    ],
)
def test_a_wrong_variable_is_named_as_the_user_wrote_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str) -> None:
    write_toml("")
    monkeypatch.setenv(name, value)
    assert line_of() == line


def test_an_unknown_variable_far_from_any_setting_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_XYZZY", "1")
    assert line_of().startswith("GATEWAY_XYZZY: no such setting; expected one of GATEWAY_CONFIG, GATEWAY_GRAPH, GATEWAY_ENVIRONMENT")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("port = 'x'", "gateway.toml: port = 'x': expected a port from 0 to 65535"),
        ("port = [1]", "gateway.toml: port = [1]: expected a port from 0 to 65535"),
        ("prot = 1", "gateway.toml: prot: no such setting; did you mean port?"),
        ("[stores.thing]\nurl = 'memory://'", "gateway.toml: stores.thing: no such store; the example has people, things"),
        ("[stores.things]\nurl = 'x'", f"gateway.toml: stores.things.url = 'x': expected {URLS}"),
        (
            "[stores.things]\nuri = 'x'",
            f"gateway.toml: stores.things.uri: no such setting; expected one of {OF_A_STORE}",
        ),
        (
            "[stores]\nthings = 'x'",
            f"gateway.toml: stores.things = 'x': expected a table with {OF_A_STORE}",
        ),
        (
            "[stores.things]\nreplicas = 'postgresql://ann:secret@db/x, near'",
            "gateway.toml: stores.things.replicas = 'postgresql://ann:***@db/x, near': expected URLs of read replicas, of the kind of the"
            " store, or auto, with which its driver finds them",
        ),
        ("[stores.things]\nmax_lag_s = 0", "gateway.toml: stores.things.max_lag_s = 0: expected seconds, more than 0 and at most 3600"),
        (
            "[stores.things]\nurl = 'memory://'\ncandidate = 'oracle://x'",
            f"gateway.toml: stores.things.candidate = 'oracle://x': expected {URLS}",
        ),
        (
            "[stores.things]\ncandidate = 'sqlite:////x'\nab = { primary = 90 }",
            "gateway.toml: stores.things.ab = {'primary': 90}: expected a table of how reads are split, "
            "such as {primary = 90, candidate = 10}",
        ),
        (
            "[stores.things]\nshadow = 0.5",
            "gateway.toml: stores.things.shadow = 0.5: expected a candidate, too (stores.things.candidate)",
        ),
        (
            "[stores.things]\nurl = 'sqlite:////x'\ncandidate = 'sqlite:////x'",
            "gateway.toml: stores.things.candidate = 'sqlite:////x': expected another database than that of its url",
        ),
        (
            "[stores.things]\ncoalesce = 'often'",
            "gateway.toml: stores.things.coalesce = 'often': expected true or false: whether look-ups by key of several requests become one"
            " call",
        ),
        (
            "[stores.things]\nstale_if_error_s = 0",
            "gateway.toml: stores.things.stale_if_error_s = 0: expected seconds, more than 0 and at most 3600",
        ),
        ("requests_min = 9\nrequests_max = 8", "gateway.toml: requests_min = 9: expected at most requests_max, which is 8"),
        (
            "fair_by = 'tenant'",
            "gateway.toml: fair_by = 'tenant': expected tenant_header, too, the header that says whose a request is; got none",
        ),
        ("client_requests_max = 2", "gateway.toml: client_requests_max = 2: expected fair_by, too, which says who is a client; got none"),
        (
            "fair_by = 'user'",
            "gateway.toml: fair_by = 'user': expected subject, address, tenant, or a header that a proxy sets, such as header:X-User",
        ),
        ("stale_rows_max = 0", "gateway.toml: stale_rows_max = 0: expected a number of rows and pages, from 1 to 1000000000"),
        ("written_key = 'short'", "gateway.toml: written_key = '***': expected a secret of 16 to 512 visible characters of ASCII"),
        ("stores = 5", "gateway.toml: stores = 5: expected a table of stores by name"),
        ("port = ", "gateway.toml: expected TOML: Invalid value (at end of document)"),
    ],
)
def test_a_wrong_line_of_the_file_is_named_by_its_key(text: str, line: str) -> None:
    write_toml(text)
    assert line_of() == line


@pytest.mark.parametrize(
    ("toml", "variable"),
    [
        ('replicas = ["postgres://one/db", "postgresql://two/db"]', None),
        ("", "postgres://one/db postgresql://two/db"),
        ("", "postgres://one/db, postgresql://two/db"),
        ('replicas = "postgres://three/db"', "postgres://one/db,postgresql://two/db"),
    ],
)
def test_replicas_are_urls_in_their_normal_form(toml: str, variable: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml(f"[stores.things]\nmax_lag_s = 2.5\n{toml}")
    if variable is not None:
        monkeypatch.setenv("GATEWAY_STORES__THINGS__REPLICAS", variable)
    store = load_settings(STORES, {}).stores["things"]
    assert (store.replicas, store.max_lag_s) == (("postgresql+asyncpg://one/db", "postgresql+asyncpg://two/db"), 2.5)


def test_auto_stands_for_replicas_that_the_driver_finds() -> None:
    write_toml('[stores.things]\nreplicas = "auto"')
    stores = load_settings(STORES, {}).stores
    assert (stores["things"].replicas, stores["things"].max_lag_s, stores["people"].replicas) == (("auto",), None, ())


def test_a_file_that_is_no_text_is_one_line() -> None:
    Path("gateway.toml").write_bytes(b"\xff\xfe")
    assert line_of().startswith("gateway.toml: expected TOML: 'utf-8' codec")


def test_a_wrong_argument_is_named_as_an_option() -> None:
    assert line_of(port="x") == "--port = 'x': expected a port from 0 to 65535"


def test_the_stronger_source_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml("port = 5")
    monkeypatch.setenv("GATEWAY_PORT", "x")
    assert line_of().startswith("GATEWAY_PORT = 'x'")


# --------------------------------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("postgres://u:p@h:5/d", "postgresql+asyncpg://u:p@h:5/d"),
        ("postgresql://h/d", "postgresql+asyncpg://h/d"),
        ("POSTGRESQL+ASYNCPG://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql:///d?host=/var/run/postgresql", "postgresql+asyncpg:///d?host=/var/run/postgresql"),
        ("sqlite:///x.db", "sqlite+aiosqlite:///x.db"),
        ("sqlite:////tmp/x.db", "sqlite+aiosqlite:////tmp/x.db"),
        ("mongodb://a:1,b:2/d?replicaSet=r", "mongodb://a:1,b:2/d?replicaSet=r"),
        ("mongodb+srv://u:p@c.example.org/d", "mongodb+srv://u:p@c.example.org/d"),
        ("mongodb+motor://h/d", "mongodb+motor://h/d"),
        ("neo4j+s://h:7687", "neo4j+s://h:7687"),
        ("neo4j+ssc://h", "neo4j+ssc://h"),
        ("bolt://[::1]:7687", "bolt://[::1]:7687"),
        ("bolt+s://h", "bolt+s://h"),
        ("bolt+ssc://h", "bolt+ssc://h"),
        ("memory://", "memory://"),
    ],
)
def test_urls_get_the_scheme_that_names_the_driver(url: str, normal: str) -> None:
    assert normal_url(url) == normal


@pytest.mark.parametrize(
    "url",
    ["", "x", "postgresql:", "postgresql://", "postgresql:///d", "postgresql://h:x/d", "postgresql://h:70000/d", "sqlite://", "sqlite:///",
     "mongodb://", "mongodb://a,,b", "bolt://", "neo4j:h", "postgresql+psycopg2://h/d", "redis://h", "bolt://[::1"],
)  # fmt: skip
def test_urls_that_no_store_has_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected postgresql://"):
        normal_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://u:secret@h/d", "'mongodb://u:***@h/d'"),
        ("mongodb://u:se:c@re/t@h/d", "'mongodb://u:***@h/d'"),
        ("neo4j://:secret@h", "'neo4j://:***@h'"),
        ("u:secret@h", "'u:***@h'"),
        ("postgresql:/u:secret@h", "'postgresql:***@h'"),
        ("u:secret://x@h", "'u:***@h'"),
        ("postgresql://h/d?password=secret&x=1", "'postgresql://h/d?password=***&x=1'"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=secret", "'mongodb://h/?tlsCertificateKeyFilePassword=***'"),
        ("sqlite:///a@b.db", "'sqlite:///a@b.db'"),
        ("a\nb", r"'a\nb'"),
    ],
)
def test_passwords_are_hidden_and_values_stay_on_one_line(url: str, shown: str) -> None:
    assert hidden(url) == shown
    assert "secret" not in hidden({"url": url})


# ---------------------------------------------------------------------------------------------------------------- hosts


@pytest.mark.parametrize("given", ["API.example.com., *.example.org,[::1] 127.0.0.1", "api.example.com\n*.example.org  ::1,127.0.0.1,"])
def test_hosts_are_named_in_one_variable(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("GATEWAY_ALLOWED_HOSTS", given)
    assert load_settings(STORES).allowed_hosts == ("api.example.com", "*.example.org", "[::1]", "127.0.0.1")


def test_hosts_are_a_list_in_the_file() -> None:
    write_toml('allowed_hosts = ["api.example.com", "*"]')
    assert load_settings(STORES).allowed_hosts == ("api.example.com", "*")


@pytest.mark.parametrize(
    "given", ["https://example.com", "example.com:443", "*example.com", "a.*.com", "[::1", "[::g]", "a b/c", "\u00e9.example"]
)
def test_a_host_that_cannot_be_is_one_line(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("GATEWAY_ALLOWED_HOSTS", given)
    expected = "expected host names without ports, such as api.example.com or *.example.com, or * for any"
    assert line_of() == f"GATEWAY_ALLOWED_HOSTS = {given!r}: {expected}"


def test_hosts_in_the_file_must_be_texts() -> None:
    write_toml("allowed_hosts = [1]")
    assert line_of().startswith("gateway.toml: allowed_hosts = [1]: expected host names")


@pytest.mark.parametrize(("environment", "get", "preflight"), [("development", True, False), ("production", False, True)])
def test_get_depends_on_the_environment(environment: str, get: bool, preflight: bool) -> None:
    settings = load_settings((), environment=environment)
    assert (settings.get, settings.get_preflight) == (get, preflight)


# ---------------------------------------------------------------------------------------------------------------- graph


def test_the_graph_is_named_by_the_command_line_before_the_environment_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert graph_setting() is None
    write_toml('graph = "a:b"')
    assert graph_setting() == ("gateway.toml: graph", "a:b")
    monkeypatch.setenv("gateway_graph", "c.d:e")
    assert graph_setting() == ("gateway_graph", "c.d:e")
    assert graph_setting("f:g") == ("--graph", "f:g")
    assert load_settings(STORES, graph=None).graph == "c.d:e"


def test_the_audits_store_is_named_by_the_environment_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit_setting() is None
    write_toml('audit = "a"')
    assert audit_setting() == ("gateway.toml: audit", "a")
    monkeypatch.setenv("GATEWAY_AUDIT", "b")
    assert audit_setting() == ("GATEWAY_AUDIT", "b")
    monkeypatch.delenv("GATEWAY_AUDIT")
    write_toml("audit = 5")
    with pytest.raises(ConfigError, match=r"^gateway.toml: audit = 5: expected the name of a store$"):
        audit_setting()


@pytest.mark.parametrize("value", ["shop", "shop:", ":graph", "a/b.py:graph", "a..b:c", "a:b.c", "a b:c", "a:1"])
def test_a_graph_is_a_module_and_an_attribute(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GATEWAY_GRAPH", value)
    with pytest.raises(ConfigError) as caught:
        graph_setting()
    assert caught.value.message == f"GATEWAY_GRAPH = {value!r}: expected module:attribute of a Graph, such as shop.graph:graph"
    assert line_of() == caught.value.message


def test_a_graph_in_the_file_is_text() -> None:
    write_toml("graph = 5")
    assert line_of() == "gateway.toml: graph = 5: expected module:attribute of a Graph, such as shop.graph:graph"


def test_an_unknown_store_is_told_with_the_graph_that_has_others() -> None:
    write_toml('graph = "shop:graph"\n[stores.thing]\nurl = "memory://"')
    assert line_of() == "gateway.toml: stores.thing: no such store; the graph shop:graph has people, things"


def test_stores_have_any_names_and_variables_find_them(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('[stores.Orders]\npool_size = 3\n[stores."cold-archive"]\nurl = "memory://"')
    monkeypatch.setenv("GATEWAY_STORES__ORDERS__URL", "sqlite:///o.db")
    monkeypatch.setenv("GATEWAY_STORES__COLD_ARCHIVE__POOL_SIZE", "4")
    stores = load_settings(("Orders", "cold-archive")).stores
    assert {name: (store.url, store.pool_size) for name, store in stores.items()} == {
        "Orders": ("sqlite+aiosqlite:///o.db", 3),
        "cold-archive": ("memory://", 4),
    }


def test_a_wrong_url_of_such_a_store_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_STORES__COLD_ARCHIVE__URL", "x")
    with pytest.raises(ConfigError, match=r"^GATEWAY_STORES__COLD_ARCHIVE__URL = 'x': expected postgresql://"):
        load_settings(("cold-archive",))


def test_a_graph_without_stores_has_settings_too() -> None:
    assert load_settings(()).stores == {}
    write_toml('[stores.a]\nurl = "memory://"')
    with pytest.raises(ConfigError, match=r"^gateway.toml: stores.a: no such store; the example has none$"):
        load_settings(())


def test_in_production_every_store_is_given_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ENVIRONMENT", "production")
    monkeypatch.setenv("GATEWAY_GRAPH", "shop:graph")
    monkeypatch.setenv("GATEWAY_STORES__PEOPLE__URL", "memory://")
    assert line_of() == (
        "stores.things.url: expected a URL for this store of the graph shop:graph; got none, and production has no default"
    )
    monkeypatch.setenv("MONGO_URL", "mongodb://h/d")
    assert load_settings(STORES, PLAIN).urls == {"people": "memory://", "things": "mongodb://h/d"}


# ----------------------------------------------------------------------------------------------------------------- CORS


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://App.Example.com:443", "https://app.example.com"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[0::1]:8080", "http://[::1]:8080"),
    ],
)
def test_origins_are_compared_as_browsers_write_them(given: str, origin: str) -> None:
    assert normal_origin(given) == origin


@pytest.mark.parametrize(
    "given", ["example.com", "https://example.com/", "https://*.example.com", "null", "ftp://example.com", "https://", "https://a:99999"]
)
def test_an_origin_that_is_none_is_one_line(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", given)
    expected = "expected origins such as https://app.example.com, without a path, or * for any"
    assert line_of() == f"GATEWAY_CORS_ORIGINS = {given!r}: {expected}"


def test_any_origin_is_said_alone_and_never_with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    write_toml('cors_origins = ["*"]')
    assert load_settings(STORES).cors_origins == ("*",)
    monkeypatch.setenv("GATEWAY_CORS_CREDENTIALS", "true")
    assert line_of() == "gateway.toml: cors_origins = ['*']: expected origins by name, since cors_credentials is true"
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", "*, https://a.example")
    assert line_of() == "GATEWAY_CORS_ORIGINS = '*, https://a.example': expected * alone, or origins without it"


def test_metrics_in_production_want_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, url in zip(STORES, ("sqlite:///a.db",) * len(STORES), strict=True):
        monkeypatch.setenv(f"GATEWAY_STORES__{name.upper()}__URL", url)
    monkeypatch.setenv("GATEWAY_ENVIRONMENT", "production")
    assert load_settings(STORES).metrics is False
    monkeypatch.setenv("GATEWAY_METRICS", "true")
    told = "expected health_token, too, which whoever asks for /metrics in production has to have"
    assert line_of() == f"GATEWAY_METRICS = 'true': {told}"
    monkeypatch.delenv("GATEWAY_METRICS")
    monkeypatch.setenv("GATEWAY_HEALTH_TOKEN", "0123456789abcdef")
    assert load_settings(STORES).metrics is True


def test_a_token_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_HEALTH_TOKEN", "too-short")
    assert line_of() == "GATEWAY_HEALTH_TOKEN = '***': expected a secret of 16 to 512 visible characters of ASCII"


def test_headers_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CORS_HEADERS", "X-Tenant, X-Trace")
    assert load_settings(STORES).cors_headers == ("X-Tenant", "X-Trace")
    monkeypatch.setenv("GATEWAY_CORS_HEADERS", "*")
    assert line_of() == "GATEWAY_CORS_HEADERS = '*': expected names of headers, such as X-Tenant"


def test_a_store_may_be_slow_from_another_time_on_than_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(STORES).slow_s == {"people": 1.0, "things": 1.0}
    write_toml("slow_query_ms = 250\n[stores.things]\nslow_query_ms = 0")
    assert load_settings(STORES).slow_s == {"people": 0.25}
    monkeypatch.setenv("GATEWAY_STORES__THINGS__SLOW_QUERY_MS", "-1")
    assert line_of() == "GATEWAY_STORES__THINGS__SLOW_QUERY_MS = '-1': expected milliseconds from 1 to 3600000, or 0 for no line in the log"


def test_a_log_has_one_of_two_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LOG_FORMAT", "xml")
    assert line_of() == "GATEWAY_LOG_FORMAT = 'xml': expected json or text"


# ----------------------------------------------------------------------------------------------------- secrets in files


def test_a_setting_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in {
        "token": "0123456789abcdef\n",
        "people": "postgres://u:hunter2@one/db\r\n",
        "things": "mongodb://two/db",
        "port": "7",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("GATEWAY_HEALTH_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("gateway_port_file", "port")
    monkeypatch.setenv("GATEWAY_STORES__PEOPLE__URL_FILE", str(tmp_path / "people"))
    monkeypatch.setenv("MONGO_URL_FILE", "things")
    settings = load_settings(STORES, PLAIN)
    assert (settings.health_token, settings.port) == ("0123456789abcdef", 7)
    assert settings.urls == {"people": "postgresql+asyncpg://u:hunter2@one/db", "things": "mongodb://two/db"}


def test_a_graph_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("graph").write_text("shop:graph\n")
    monkeypatch.setenv("GATEWAY_GRAPH_FILE", "graph")
    assert graph_setting() == ("GATEWAY_GRAPH_FILE", "shop:graph")


@pytest.mark.parametrize("name", ["GATEWAY_HEALTH_TOKEN", "GATEWAY_STORES__PEOPLE__URL", "DATABASE_URL"])
def test_a_setting_is_given_in_one_way(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    Path("secret").write_text("memory://0123456789")
    monkeypatch.setenv(f"{name}_FILE", "secret")
    monkeypatch.setenv(name, "memory://0123456789")
    assert line_of() == f"{name}, {name}_FILE: expected one of the two, got both"
    monkeypatch.setenv(name, "")
    load_settings(STORES, PLAIN)


def test_a_file_that_cannot_be_a_value_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GATEWAY_HEALTH_TOKEN_FILE", "secret")
    assert line_of() == "GATEWAY_HEALTH_TOKEN_FILE = 'secret': expected a file that can be read: No such file or directory"
    Path("secret").write_bytes(b"\n")
    assert line_of() == "GATEWAY_HEALTH_TOKEN_FILE = 'secret': expected a file with a value, got an empty one"
    Path("secret").write_bytes(b"\xff\xfe")
    assert line_of() == "GATEWAY_HEALTH_TOKEN_FILE = 'secret': expected a file in UTF-8"
    Path("secret").write_bytes(b"x" * 65_537)
    assert line_of() == "GATEWAY_HEALTH_TOKEN_FILE = 'secret': expected a file of at most 65536 bytes"
    monkeypatch.setenv("GATEWAY_HEALTH_TOKEN_FILE", str(tmp_path))
    assert line_of() == f"GATEWAY_HEALTH_TOKEN_FILE = {str(tmp_path)!r}: expected a file that can be read: Is a directory"


@pytest.mark.parametrize("name", ["GATEWAY_PORT", "GATEWAY_STORES__PEOPLE__URL", "DATABASE_URL"])
def test_what_is_in_a_file_is_not_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    Path("secret").write_text("hunter2")
    monkeypatch.setenv(f"{name}_FILE", "secret")
    told = line_of()
    assert told.startswith(f"{name}_FILE = '***': expected ")
    assert "hunter2" not in told


def test_a_file_of_no_setting_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PROT_FILE", "secret")
    assert line_of().startswith("GATEWAY_PROT_FILE: no such setting; ")
    monkeypatch.delenv("GATEWAY_PROT_FILE")
    monkeypatch.setenv("GATEWAY_CONFIG_FILE", "secret")
    assert line_of() == "GATEWAY_CONFIG_FILE: no such setting; did you mean GATEWAY_CONFIG?"
