"""Settings: command line, environment and gateway.toml, read once. A value that cannot be ends the start with one line.

Strongest first: what the caller passes (the command line), ``GATEWAY_…``, the plain variables that the graph declares
(``DATABASE_URL``), ``gateway.toml`` (elsewhere by ``GATEWAY_CONFIG``), defaults: in development a SQLite file per store in the data
folder. The names of the stores are handed in; nothing here knows them. Which graph has them is a setting itself: ``graph_setting``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gateway.errors import ConfigError
from gateway.stores.kinds import default_url, expected_urls, normal_url

PREFIX = "GATEWAY_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
CONFIG_FILE = "gateway.toml"
EXPECTED_GRAPH = "module:attribute of a Graph, such as shop.graph:graph"


def hidden(value: object) -> str:
    """Return the value as one line for people, with the passwords of URLs as ``***``."""
    return repr(_without_secrets(value))


class StoreSettings(BaseModel):
    """One store. Its URL decides its kind; stores with equal URLs share a pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(normal_url)] = Field(default="")
    pool_size: int = Field(default=10, ge=1, le=1_000, description="a number of connections from 1 to 1000")


def _folder(path: Path) -> Path:
    path = path.expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError("expected a folder")
    return path


_MIB = 1024 * 1024
_MOST = 1_000_000_000


def _limit(default: int, what: str, *, least: int = 1, most: int = _MOST) -> Any:
    return Field(default=default, ge=least, le=most, description=f"a number of {what}, from {least} to {most}")


def _in_development(data: Mapping[str, Any]) -> bool:
    return bool(data.get("environment") == "development")


def normal_host(text: str) -> str:
    """Return a host as it is compared: lower case, no dot at its end, an address in its shortest form; ValueError where it is none."""
    host = text.strip().lower().removesuffix(".")
    if host.startswith("["):
        return f"[{IPv6Address(host[1:].removesuffix(']'))}]" if host.endswith("]") else _no_host()
    if ":" in host:
        return f"[{IPv6Address(host)}]"
    return host if _HOST(host) else _no_host()


_HOST = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63}){0,126}").fullmatch


def _no_host() -> NoReturn:
    raise ValueError("expected a host")


def _host_patterns(given: object) -> tuple[str, ...]:
    return tuple(item if item == "*" else "*." * item.startswith("*.") + normal_host(item.removeprefix("*.")) for item in _texts(given))


def is_graph_name(name: str) -> bool:
    """Return whether this is ``module:attribute``."""
    module, _, attribute = name.partition(":")
    return attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _graph_name(name: str) -> str:
    if not is_graph_name(name):
        raise ValueError("expected module:attribute")
    return name


def _texts(given: object) -> tuple[str, ...]:
    """Return the texts of a list, or of one text with commas or spaces between them."""
    listed = re.split(r"[\s,]+", given.strip()) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(item, str) for item in listed):
        raise ValueError("expected names")
    return tuple(item for item in listed if item)


def _origins(given: object) -> tuple[str, ...]:
    return tuple(item if item == "*" else normal_origin(item) for item in _texts(given))


def normal_origin(text: str) -> str:
    """Return an origin as browsers send it: lower case, without the scheme's own port; ValueError where it is none."""
    scheme, separator, rest = text.lower().partition("://")
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?", rest)
    if scheme not in _OWN_PORTS or not separator or not found or int(found[2] or 0) > 65_535:
        raise ValueError("expected an origin")
    host, port = normal_host(found[1]), found[2] and str(int(found[2]))
    return f"{scheme}://{host}" if port in (None, _OWN_PORTS[scheme]) else f"{scheme}://{host}:{port}"


_OWN_PORTS = {"http": "80", "https": "443"}
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]{1,64}").fullmatch


def _header_names(given: object) -> tuple[str, ...]:
    names = _texts(given)
    if not all(map(_HEADER, names)):
        raise ValueError("expected names of headers")
    return names


Seconds = Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False, description="seconds, more than 0 and at most 3600")]


class Settings(BaseSettings):
    """What the gateway was told. ``Settings(...)`` itself reads nothing but its arguments; ``load_settings`` reads the rest.

    A field's description says what its value must be: it completes "expected …" in an error.
    """

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, validate_default=False
    )

    graph: Annotated[str, AfterValidator(_graph_name)] = Field(default="", description=EXPECTED_GRAPH)
    environment: Literal["development", "production"] = Field(default="development", description="development or production")
    host: str = Field(default="127.0.0.1", min_length=1, pattern=r"^\S+$", description="a host name or an address")
    port: int = Field(default=8_000, ge=0, le=65_535, description="a port from 0 to 65535")
    data_dir: Annotated[Path, AfterValidator(_folder)] = Field(default=Path("data"), description="a folder, or where one can be made")
    stores: dict[str, StoreSettings] = Field(default={}, description="a table of stores by name")

    page_max: int = Field(default=100, ge=1, le=10_000, description="rows of a page, from 1 to 10000")
    page_default: int = Field(
        default_factory=lambda data: min(10, data["page_max"]), ge=1, le=10_000, description="rows of a page, from 1 to page_max"
    )
    nodes_max: int = Field(default=1_000, ge=1, le=100_000, description="ids in one nodes(ids:), from 1 to 100000")
    body_limit_bytes: int = Field(default=1_048_576, ge=1_024, le=1_073_741_824, description="bytes, from 1024 to 1073741824")
    access_log: bool = Field(default=True, description="true or false: whether every request is a line in the log")
    metrics: bool = Field(default_factory=_in_development, description="true or false: whether /metrics is served")
    plan_cache_size: int = Field(default=1_000, ge=0, le=1_000_000, description="a number of documents from 0 to 1000000")
    plan_cache_limit_bytes: int = Field(default=16 * _MIB, ge=0, le=_MOST, description="bytes, from 0 to 1000000000")

    introspection: bool = Field(default_factory=_in_development, description="true or false: whether __schema and __type are answered")
    suggestions: bool = Field(default_factory=_in_development, description="true or false: whether errors say what was probably meant")
    type_names: bool = Field(default_factory=_in_development, description="true or false: whether errors name types of the schema")

    limits: Literal["enforce", "measure"] = Field(default="enforce", description="enforce or measure")
    query_limit_bytes: int = _limit(16 * 1024, "bytes of a query")
    tokens_max: int = _limit(2_000, "tokens of a document")
    nesting_max: int = _limit(64, "levels of brackets of a document", most=150)
    depth_max: int = _limit(15, "levels of fields")
    aliases_max: int = _limit(100, "aliases of a document", least=0)
    root_fields_max: int = _limit(20, "root fields of an operation")
    mutations_max: int = _limit(5, "root fields of a mutation")
    directives_max: int = _limit(50, "directives of a document", least=0)
    directives_per_node_max: int = _limit(5, "directives at one place", least=0)
    selections_max: int = _limit(1_000, "selections of a document")
    fragments_max: int = _limit(50, "fragments of a document", least=0)
    operations_max: int = _limit(10, "operations of a document")
    variables_max: int = _limit(50, "variables of an operation", least=0)
    variables_limit_bytes: int = _limit(256 * 1024, "bytes of a request's variables")
    variables_depth_max: int = _limit(32, "levels of a request's variables")
    variables_list_max: int = _limit(1_000, "items of a list in variables")
    variables_values_max: int = _limit(5_000, "values in a request's variables")
    arguments_values_max: int = _limit(20_000, "values in the arguments of an operation")
    filter_conditions_max: int = _limit(100, "conditions of a filter")
    filter_depth_max: int = _limit(10, "levels of a filter")
    filter_in_max: int = _limit(1_000, "items of a list in a filter")
    filter_text_max: int = _limit(256, "characters to look for in a filter")
    cost_max: int = _limit(10_000, "objects that an operation's page sizes allow")
    objects_max: int = _limit(20_000, "objects of an answer")
    introspection_fields_max: int = _limit(100, "fields of an introspection per type of the schema")
    response_limit_bytes: int = _limit(8 * _MIB, "bytes of an answer", least=1_024)

    # The HTTP edge
    http_statuses: Literal["audit", "draft"] = Field(default="audit", description="audit or draft")
    get: bool = Field(default_factory=_in_development, description="true or false: whether queries by GET are served")
    get_preflight: bool = Field(
        default_factory=lambda data: data["environment"] == "production",
        description="true or false: whether a GET needs the header GraphQL-Require-Preflight",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_host_patterns)] = Field(
        default=(), description="host names without ports, such as api.example.com or *.example.com, or * for any"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = Field(
        default=(), description="origins such as https://app.example.com, without a path, or * for any"
    )
    cors_credentials: bool = Field(default=False, description="true or false: whether pages of these origins may send cookies")
    cors_headers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_header_names)] = Field(
        default=(), description="names of headers, such as X-Tenant"
    )
    url_limit_bytes: int = Field(default=8_192, ge=256, le=65_536, description="bytes, from 256 to 65536")
    header_limit_bytes: int = Field(default=16_384, ge=1_024, le=262_144, description="bytes, from 1024 to 262144")
    headers_max: int = Field(default=100, ge=10, le=1_000, description="a number of headers from 10 to 1000")
    json_depth_max: int = Field(default=64, ge=8, le=500, description="levels of objects and lists in a body, from 8 to 500")
    json_values_max: int = _limit(20_000, "values in a body")
    bodies_limit_bytes: int = _limit(64 * _MIB, "bytes of bodies that are not complete, of all clients together", least=65_536)
    header_timeout_s: Seconds = 5.0
    body_timeout_s: Seconds = 10.0
    unread_timeout_s: Seconds = 10.0
    unread_limit_bytes: int = Field(default=67_108_864, ge=65_536, le=1_099_511_627_776, description="bytes, from 65536 to 1099511627776")

    request_deadline_s: Seconds = 10.0
    store_timeout_s: Seconds = 3.0
    store_write_timeout_s: Seconds = 5.0
    connect_timeout_s: Seconds = 2.0

    @property
    def urls(self) -> dict[str, str]:
        """The URL of every store, by the store's name."""
        return {name: store.url for name, store in self.stores.items()}

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def graph_setting(given: str | None = None) -> tuple[str, str] | None:
    """Return (key, name) of the graph that is to be served, the key as the user wrote it; None where nobody names one.

    ``given`` is the command line's. Read before all other settings, since the graph says which stores there are.
    """
    path, table = _read_file()
    options = {} if given is None else {"graph": given}
    if not options and "graph" not in table and not _environment("graph"):
        return None
    key, value = _Origin(options, {}, path, table).find(("graph",))
    if not isinstance(value, str) or not is_graph_name(value):
        raise ConfigError(f"{key} = {hidden(value)}: expected {EXPECTED_GRAPH}")
    return key, value


def load_settings(store_names: Collection[str], plain_urls: Mapping[str, Collection[str]] | None = None, **overrides: Any) -> Settings:
    """Return the settings, with a URL for every store of ``store_names`` and for no other. In production each must be given one.

    ``plain_urls`` says which stores each plain variable serves: ``{"DATABASE_URL": ("users", "posts")}``. ``overrides`` are
    settings from the command line; None is "not given". ConfigError has one line: the key, the value, what was expected.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    plain = _plain_urls(plain_urls or {})
    path, table = _read_file()
    origin = _Origin(given, plain, path, table)
    named = graph_setting(given.get("graph"))
    graph = _Stores(f"the graph {named[1]}" if named else "the example", tuple(store_names))
    _refuse_unknown_variables()
    try:
        settings = _reading(plain, table, store_names)(**given)
    except SettingsError as error:  # a variable that should hold JSON does not
        raise ConfigError(f"{PREFIX}STORES: expected a JSON object, or one {PREFIX}STORES__<NAME>__URL per store") from error
    except ValidationError as error:
        raise ConfigError(_line(error.errors()[0], origin, graph)) from error
    _check_across_fields(settings, origin, graph)
    return settings.model_copy(update={"stores": {name: _with_url(settings, name, graph) for name in store_names}})


@dataclass(frozen=True, slots=True)
class _Stores:
    """The stores of a graph, which is called ``whose``."""

    whose: str
    names: tuple[str, ...]

    def refusal(self, key: str) -> ConfigError:
        return ConfigError(f"{key}: no such store; {self.whose} has {', '.join(self.names) or 'none'}")


# -------------------------------------------------------------------------------------------------------------- sources


def _reading(plain: Mapping[str, tuple[str, str]], table: Mapping[str, Any], store_names: Collection[str]) -> type[Settings]:
    """Return Settings that read the environment and these two, too."""
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
            return init_settings, _Environment(settings_cls, store_names), *weaker

    return Reading


class _Environment(EnvSettingsSource):
    """The environment, whose names have neither case nor ``-``; the stores get the graph's own names back."""

    def __init__(self, settings_cls: type[BaseSettings], store_names: Collection[str]) -> None:
        super().__init__(settings_cls)
        self._store_names = {store_variable(name): name for name in store_names}

    def __call__(self) -> dict[str, Any]:
        read = super().__call__()
        if isinstance(stores := read.get("stores"), dict):
            read["stores"] = {self._store_names.get(store_variable(name), name): store for name, store in stores.items()}
        return read


def store_variable(name: str) -> str:
    """Return the part of a variable's name that is a store's: ``GATEWAY_STORES__<this>__URL``."""
    return name.upper().replace("-", "_")


def _environment(setting: str) -> str:
    return next((value for name, value in os.environ.items() if name.upper() == PREFIX + setting.upper()), "")


def _plain_urls(declared: Mapping[str, Collection[str]]) -> dict[str, tuple[str, str]]:
    """Return (variable, URL) by the name of the store that it serves."""
    return {store: (name, os.environ[name]) for name, stores in declared.items() if os.environ.get(name) for store in stores}


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


def _with_url(settings: Settings, name: str, graph: _Stores) -> StoreSettings:
    store = settings.stores.get(name) or StoreSettings.model_validate({})
    if store.url:
        return store
    if settings.is_production:
        raise ConfigError(f"stores.{name}.url: expected a URL for this store of {graph.whose}; got none, and production has no default")
    return store.model_copy(update={"url": default_url(settings.data_dir / name)})


# --------------------------------------------------------------------------------------------------------------- checks


def _refuse_unknown_variables() -> None:
    """Refuse what is most likely a misspelt setting. Names below STORES are checked with the stores themselves."""
    known = [CONFIG_VARIABLE, *(PREFIX + name.upper() for name in Settings.model_fields)]
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not name.upper().startswith(f"{PREFIX}STORES__"):
            raise ConfigError(f"{name}: no such setting; {_expected_name(name.upper(), known)}{_service_link(name)}")


def _check_across_fields(settings: Settings, origin: _Origin, graph: _Stores) -> None:
    for name in settings.stores:
        if name not in graph.names:
            raise graph.refusal(origin.find(("stores", name))[0])
    if settings.page_default > settings.page_max:
        key, value = origin.find(("page_default",))
        raise ConfigError(f"{key} = {hidden(value)}: expected at most page_max, which is {settings.page_max}")
    if "*" in settings.cors_origins:
        key, value = origin.find(("cors_origins",))
        if len(settings.cors_origins) > 1:
            raise ConfigError(f"{key} = {hidden(value)}: expected * alone, or origins without it")
        if settings.cors_credentials:  # any page could then read what is for the user whose cookies it sends
            raise ConfigError(f"{key} = {hidden(value)}: expected origins by name, since cors_credentials is true")


def _line(error: ErrorDetails, origin: _Origin, graph: _Stores) -> str:
    """Return the one line about a value that pydantic refused: its key as the user wrote it, the value, what was expected."""
    at = error["loc"]
    key, value = origin.find(at)
    if error["type"] == "extra_forbidden":
        return f"{key}: no such setting; {_expected_name(str(at[-1]), _fields_at(at[:-1]))}"
    if at[0] == "stores" and len(at) > 1 and at[1] not in graph.names:
        return graph.refusal(key).message
    hint = _service_link(key) if str(value).startswith("tcp://") else ""
    return f"{key} = {hidden(value)}: expected {_expected(at)}{hint}"


def _expected(at: tuple[int | str, ...]) -> str:
    model = StoreSettings if at[0] == "stores" and len(at) > 2 else Settings
    if at[0] == "stores" and len(at) == 2:
        return f"a table with {', '.join(StoreSettings.model_fields)}"
    if model is StoreSettings and at[-1] == "url":  # asked for when it is needed: a graph's module may register kinds of its own
        return expected_urls()
    field = model.model_fields[str(at[-1])]
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

    def __init__(self, given: Mapping[str, Any], plain: Mapping[str, tuple[str, str]], path: str, table: Mapping[str, Any]) -> None:
        self._given, self._plain, self._path, self._table = given, plain, path, table

    def find(self, at: tuple[int | str, ...]) -> tuple[str, Any]:
        """Return (key, value) of the strongest source that has a value at this place, or above it."""
        return next(self._all(tuple(map(str, at))))

    def _all(self, at: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if at[0] in self._given:
            yield f"--{at[0].replace('_', '-')}", self._given[at[0]]
        environment = {name.upper(): name for name, value in os.environ.items() if value}
        for depth in range(len(at), 0, -1):
            name = environment.get(_variable(at[:depth]))
            if name:
                yield name, os.environ[name]
        below = f"{_variable(at)}__"
        yield from ((name, os.environ[name]) for upper, name in environment.items() if upper.startswith(below))
        if at[0] == "stores" and len(at) > 1 and at[1] in self._plain and at[2:] in ((), ("url",)):
            yield self._plain[at[1]]
        yield self._in_file(at)

    def _in_file(self, at: tuple[str, ...]) -> tuple[str, Any]:
        node: Any = self._table
        for depth, name in enumerate(at):
            if not isinstance(node, Mapping) or name not in node:
                return f"{self._path}: {'.'.join(at[:depth] or at)}", node
            node = node[name]
        return f"{self._path}: {'.'.join(at)}", node


# ----------------------------------------------------------------------------------------------------------------- URLs

_SECRET_PARAMETER = re.compile(r"(?i)([?&](?:[\w.-]*(?:password|passwd|pwd|secret|token|key))=)[^&]*")


def _without_secrets(value: object) -> object:
    if isinstance(value, str):
        return _SECRET_PARAMETER.sub(r"\1***", _hide_password(value))
    if isinstance(value, Mapping):
        return {name: _without_secrets(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_secrets(part) for part in value]
    return value


def _hide_password(url: str) -> str:
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, separator, rest = head.partition("://")
    if not separator or not re.fullmatch(r"[\w+.-]+", scheme):
        scheme, separator, rest = "", "", head
    user, colon, _ = rest.partition(":")
    return f"{scheme}{separator}{user}{colon and ':***'}@{tail}"
