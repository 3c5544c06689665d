"""Read the settings once: command line, environment and gateway.toml. A value that cannot be ends the start with one line.

Strongest first: what the caller passes (the command line), ``GATEWAY_…``, the plain variables that the graph declares (``DATABASE_URL``),
either of them also in the file that ``…_FILE`` names, ``gateway.toml`` (elsewhere by ``GATEWAY_CONFIG``), defaults: in development a SQLite
file per store in the data folder. The names of the stores are handed in; nothing here knows them. Which graph has them is a setting
itself: ``graph_setting``; ``audit_setting`` adds one.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, InitSettingsSource, PydanticBaseSettingsSource, SettingsError
from pydantic_settings.sources.utils import parse_env_vars

from gateway.config import tenants
from gateway.config.settings import PREFIX, Seconds, Settings, StoreSettings
from gateway.config.values import EXPECTED_GRAPH, hidden, is_graph_name
from gateway.config.variables import Variables
from gateway.errors import ConfigError
from gateway.stores.kinds import default_url, expected_urls

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
CONFIG_FILE = "gateway.toml"

_TABLES = ("tenants", "tenant_urls", "sources")


def graph_setting(given: str | None = None) -> tuple[str, str] | None:
    """Return (key, name) of the graph that is to be served, the key as the user wrote it; None where nobody names one.

    ``given`` is the command line's. Read before all other settings, since the graph says which stores there are.
    """
    path, table = _read_file()
    options = {} if given is None else {"graph": given}
    variables = _variables(())
    named = next((value for name, value in variables.items() if value and name.upper() == f"{PREFIX}GRAPH"), None)
    if not options and "graph" not in table and named is None:
        return None
    key, value = _Origin(options, {}, path, table, variables).find(("graph",))
    if named is not None and not options:
        value = named  # also where it is in a file, which is not told otherwise
    if not isinstance(value, str) or not is_graph_name(value):
        raise ConfigError(f"{key} = {hidden(value)}: expected {EXPECTED_GRAPH}")
    return key, value


def audit_setting() -> tuple[str, str] | None:
    """Return (key, name) of the store that is to have the audit of all writes; None where nobody names one: that is the graph's to say.

    Read before all other settings, since the store is one of the graph's then.
    """
    path, table = _read_file()
    variables = _variables(())
    named = next((value for name, value in variables.items() if value and name.upper() == f"{PREFIX}AUDIT"), None)
    if "audit" not in table and named is None:
        return None
    key, value = _Origin({}, {}, path, table, variables).find(("audit",))
    if named is not None:
        value = named  # also where it is in a file, which is not told otherwise
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{key} = {hidden(value)}: expected the name of a store")
    return key, value


def load_settings(store_names: Collection[str], plain_urls: Mapping[str, Collection[str]] | None = None, **overrides: Any) -> Settings:
    """Return the settings, with a URL for every store of ``store_names`` and for no other. In production each must be given one.

    ``plain_urls`` says which stores each plain variable serves: ``{"DATABASE_URL": ("users", "posts")}``. ``overrides`` are
    settings from the command line; None is "not given". ConfigError has one line: the key, the value, what was expected.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    variables = _variables(plain_urls or ())
    plain = _plain_urls(plain_urls or {}, variables)
    path, table = _read_file()
    origin = _Origin(given, plain, path, table, variables)
    named = graph_setting(given.get("graph"))
    graph = _Stores(f"the graph {named[1]}" if named else "the example", tuple(store_names))
    _refuse_unknown_variables(variables)
    try:
        settings = _reading(plain, table, store_names, variables)(**given)
    except SettingsError as error:  # a variable that should hold JSON does not
        raise ConfigError(_no_json(str(error))) from error
    except ValidationError as error:
        raise ConfigError(_line(error.errors()[0], origin, graph)) from error
    _check_across_fields(settings, origin, graph)
    settings = tenants.checked(settings, origin.find, graph.names)
    return settings.model_copy(update={"stores": {name: _with_url(settings, name, graph) for name in store_names}})


@dataclass(frozen=True, slots=True)
class _Stores:
    """The stores of a graph, which is called ``whose``."""

    whose: str
    names: tuple[str, ...]

    def refusal(self, key: str) -> ConfigError:
        return ConfigError(f"{key}: no such store; {self.whose} has {', '.join(self.names) or 'none'}")


# -------------------------------------------------------------------------------------------------------------- sources


def _reading(
    plain: Mapping[str, tuple[str, str]], table: Mapping[str, Any], store_names: Collection[str], variables: Variables
) -> type[Settings]:
    """Return Settings that read these."""
    stores = {"stores": {store: {"url": url} for store, (_, url) in plain.items()}} if plain else {}

    class Reading(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
            *_: PydanticBaseSettingsSource,
            **__: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            weaker = (InitSettingsSource(settings_cls, init_kwargs=values) for values in (stores, dict(table)))
            return init_settings, _Environment(settings_cls, store_names, variables), *weaker

    return Reading


class _Environment(EnvSettingsSource):
    """The environment, whose names have neither case nor ``-``; the stores get the graph's own names back."""

    def __init__(self, settings_cls: type[BaseSettings], store_names: Collection[str], variables: Variables) -> None:
        self._variables = variables
        super().__init__(settings_cls)
        self._store_names = {store_variable(name): name for name in store_names}

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return parse_env_vars(self._variables, self.case_sensitive, self.env_ignore_empty, self.env_parse_none_str)

    def __call__(self) -> dict[str, Any]:
        read = super().__call__()
        if isinstance(stores := read.get("stores"), dict):
            read["stores"] = {self._store_names.get(store_variable(name), name): store for name, store in stores.items()}
        return read


def store_variable(name: str) -> str:
    """Return the part of a variable's name that is a store's: ``GATEWAY_STORES__<this>__URL``."""
    return name.upper().replace("-", "_")


def _variables(plain: Collection[str]) -> Variables:
    return Variables(PREFIX, Settings.model_fields, plain)


def _plain_urls(declared: Mapping[str, Collection[str]], variables: Variables) -> dict[str, tuple[str, str]]:
    """Return (variable, URL) by the name of the store that it serves."""
    return {store: (name, variables[name]) for name, stores in declared.items() if variables.get(name) for store in stores}


def _read_file() -> tuple[str, Mapping[str, Any]]:
    """Return the settings file's path as the user knows it, and what it says; no file says nothing."""
    named = os.environ.get(CONFIG_VARIABLE)
    path = Path(named or CONFIG_FILE).expanduser()
    try:
        return str(path), tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        if not named:
            return str(path), {}
        raise ConfigError(f"{CONFIG_VARIABLE} = {named!r}: expected the path of a TOML file, and there is none") from None
    except OSError as error:
        raise ConfigError(f"{path}: expected a file that can be read: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML: the message has the line and the column
        raise ConfigError(f"{path}: expected TOML: {str(error).splitlines()[0]}") from error


def _no_json(told: str) -> str:
    found = re.search(r'field "(\w+)"', told)
    name = found[1].upper() if found else "STORES"
    each = f", or one {PREFIX}STORES__<NAME>__URL per store" if name == "STORES" else ""
    return f"{PREFIX}{name}: expected a JSON object{each}"


def _with_url(settings: Settings, name: str, graph: _Stores) -> StoreSettings:
    store = settings.stores.get(name) or StoreSettings.model_validate({})
    if store.url or (settings.tenant_header and name not in settings.tenants_shared):
        return store
    if settings.is_production:
        raise ConfigError(f"stores.{name}.url: expected a URL for this store of {graph.whose}; got none, and production has no default")
    return store.model_copy(update={"url": default_url(settings.data_dir / name)})


# --------------------------------------------------------------------------------------------------------------- checks


def _refuse_unknown_variables(variables: Variables) -> None:
    """Refuse what is most likely a misspelt setting. Names below STORES are checked with the stores themselves."""
    known = [CONFIG_VARIABLE, *(PREFIX + name.upper() for name in Settings.model_fields)]
    for name in sorted(variables):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not name.upper().startswith(f"{PREFIX}STORES__"):
            raise ConfigError(f"{name}: no such setting; {_expected_name(name.upper(), known)}{_service_link(name)}")


def _check_across_fields(settings: Settings, origin: _Origin, graph: _Stores) -> None:
    for name in settings.stores:
        if name not in graph.names:
            raise graph.refusal(origin.find(("stores", name))[0])
    _check_candidates(settings, origin)
    if settings.page_default > settings.page_max:
        key, value = origin.find(("page_default",))
        raise ConfigError(f"{key} = {hidden(value)}: expected at most page_max, which is {settings.page_max}")
    if settings.requests_min > settings.requests_max:
        key, value = origin.find(("requests_min",))
        raise ConfigError(f"{key} = {hidden(value)}: expected at most requests_max, which is {settings.requests_max}")
    if settings.fair_by == "tenant" and not settings.tenant_header:
        key, value = origin.find(("fair_by",))
        raise ConfigError(f"{key} = {hidden(value)}: expected tenant_header, too, the header that says whose a request is; got none")
    if settings.client_requests_max and not settings.fair_by:
        key, value = origin.find(("client_requests_max",))
        raise ConfigError(f"{key} = {hidden(value)}: expected fair_by, too, which says who is a client; got none")
    if settings.metrics and settings.is_production and not settings.health_token:
        key, value = origin.find(("metrics",))
        raise ConfigError(f"{key} = {hidden(value)}: expected health_token, too, which whoever asks for /metrics in production has to have")
    if "*" in settings.cors_origins:
        key, value = origin.find(("cors_origins",))
        if len(settings.cors_origins) > 1:
            raise ConfigError(f"{key} = {hidden(value)}: expected * alone, or origins without it")
        if settings.cors_credentials:  # any page could then read what is for the user whose cookies it sends
            raise ConfigError(f"{key} = {hidden(value)}: expected origins by name, since cors_credentials is true")


def _check_candidates(settings: Settings, origin: _Origin) -> None:
    """Refuse what a store cannot have beside a candidate (``gateway move``)."""
    for name, store in settings.stores.items():
        if not store.candidate:
            for part in ("ab", "shadow"):
                if getattr(store, part):
                    key, value = origin.find(("stores", name, part))
                    raise ConfigError(f"{key} = {hidden(value)}: expected a candidate, too (stores.{name}.candidate)")
            continue
        key, value = origin.find(("stores", name, "candidate"))
        if store.candidate == store.url:
            raise ConfigError(f"{key} = {hidden(value)}: expected another database than that of its url")
        if store.replicas:
            raise ConfigError(
                f"{key} = {hidden(value)}: expected a store without replicas while it is moved; stores.{name}.replicas has some"
            )
        if store.stale_if_error_s is not None:
            raise ConfigError(
                f"{key} = {hidden(value)}: expected a store without stale_if_error_s while it is moved, as what is kept is of one; "
                f"stores.{name} has {store.stale_if_error_s:g}"
            )
        for other, found in (("sources", settings.sources), ("tenant_header", settings.tenant_header)):
            if found:
                raise ConfigError(f"{key} = {hidden(value)}: expected no {other} beside it, as those who pick a store would miss its move")


def _line(error: ErrorDetails, origin: _Origin, graph: _Stores) -> str:
    """Return the one line about a value that pydantic refused: its key as the user wrote it, the value, what was expected."""
    at = error["loc"]
    key, value = origin.find(at)
    if error["type"] == "extra_forbidden":
        return f"{key}: no such setting; {_expected_name(str(at[-1]), _fields_at(at[:-1]))}"
    if at[0] == "stores" and len(at) > 1 and at[1] not in graph.names:
        return graph.refusal(key).message
    hint = _service_link(key) if str(value).startswith("tcp://") else ""
    shown = "'***'" if at[-1] in ("health_token", "written_key") else hidden(value)
    return f"{key} = {shown}: expected {_expected(at)}{hint}"


def _expected(at: tuple[int | str, ...]) -> str:
    model = StoreSettings if at[0] == "stores" and len(at) > 2 else Settings
    if at[0] == "stores" and len(at) == 2:
        return f"a table with {', '.join(StoreSettings.model_fields)}"
    if model is StoreSettings and at[-1] in (
        "url",
        "candidate",
    ):  # asked for when it is needed: a graph's module may register kinds of its own
        return expected_urls()
    field = model.model_fields[str(at[0] if at[0] in _TABLES else at[-1])]
    return str(field.description or next(m.description for m in get_args(Seconds) if hasattr(m, "description")))


def _fields_at(at: tuple[int | str, ...]) -> list[str]:
    return list(StoreSettings.model_fields if at else Settings.model_fields)


def _expected_name(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.75)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"


def _service_link(variable: str) -> str:
    """Kubernetes sets such variables for a service of the name ``gateway``."""
    linked = re.fullmatch(r"GATEWAY_(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_\w+)", variable)
    return " (a Kubernetes service named gateway sets it: enableServiceLinks: false)" if linked else ""


def _variable(at: tuple[str, ...]) -> str:
    return PREFIX + "__".join(map(store_variable, at))


class _Origin:
    """Where a value was given, in the words of the user."""

    def __init__(
        self, given: Mapping[str, Any], plain: Mapping[str, tuple[str, str]], path: str, table: Mapping[str, Any], variables: Variables
    ) -> None:
        self._given, self._plain, self._path, self._table, self._variables = given, plain, path, table, variables

    def find(self, at: tuple[int | str, ...]) -> tuple[str, Any]:
        """Return (key, value) of the strongest source that has a value at this place, or above it."""
        return next(self._all(tuple(map(str, at))))

    def _all(self, at: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if at[0] in self._given:
            yield f"--{at[0].replace('_', '-')}", self._given[at[0]]
        variables = self._variables
        environment = {name.upper(): name for name, value in variables.items() if value}
        for depth in range(len(at), 0, -1):
            name = environment.get(_variable(at[:depth]))
            if name:
                yield variables.shown(name)
        below = f"{_variable(at)}__"
        yield from (variables.shown(name) for upper, name in environment.items() if upper.startswith(below))
        if at[0] == "stores" and len(at) > 1 and at[1] in self._plain and at[2:] in ((), ("url",)):
            yield variables.shown(self._plain[at[1]][0])
        yield self._in_file(at)

    def _in_file(self, at: tuple[str, ...]) -> tuple[str, Any]:
        node: Any = self._table
        for depth, name in enumerate(at):
            if not isinstance(node, Mapping) or name not in node:
                return f"{self._path}: {'.'.join(at[:depth] or at)}", node
            node = node[name]
        return f"{self._path}: {'.'.join(at)}", node
