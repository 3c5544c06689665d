"""Which settings there are, and what each must be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.config.values import (
    EXPECTED_GRAPH,
    folder,
    graph_name,
    header_names,
    host_patterns,
    origins,
    replica_urls,
    share_of_candidate,
    texts,
)
from gateway.stores.kinds import normal_url
from gateway.stores.moves import candidate_of
from gateway.stores.requests.conditions import CONDITIONS_MOST, ITEMS_MOST, LEVELS_MOST, TEXT_MOST

PREFIX = "GATEWAY_"

_MIB = 1024 * 1024
_MOST = 1_000_000_000

Seconds = Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False, description="seconds, more than 0 and at most 3600")]


Startup = Literal["require", "degraded"]
_SLOW = "milliseconds from 1 to 3600000, or 0 for no line in the log"


class StoreSettings(BaseModel):
    """One store. Its URL decides its kind; stores with equal URLs share a pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(normal_url)] = Field(default="")
    pool_size: int = Field(default=10, ge=1, le=1_000, description="a number of connections from 1 to 1000")
    startup: Startup | None = Field(default=None, description="require or degraded")
    replicas: Annotated[tuple[str, ...], NoDecode, BeforeValidator(replica_urls)] = Field(
        default=(), description="URLs of read replicas, of the kind of the store, or auto, with which its driver finds them"
    )
    max_lag_s: Seconds | None = None
    slow_query_ms: int | None = Field(default=None, ge=0, le=3_600_000, description=_SLOW)
    coalesce: bool = Field(default=False, description="true or false: whether look-ups by key of several requests become one call")
    stale_if_error_s: Seconds | None = None
    stale_collections: Annotated[tuple[str, ...], NoDecode, BeforeValidator(texts)] = Field(
        default=(), description="names of collections of the store"
    )
    candidate: Annotated[str, AfterValidator(normal_url)] = Field(default="", description="the URL of the database that it is moved to")
    ab: Annotated[float, BeforeValidator(share_of_candidate)] = Field(
        default=0.0, description="a table of how reads are split, such as {primary = 90, candidate = 10}"
    )
    shadow: float = Field(default=0.0, ge=0, le=1, description="a share of reads that are compared with the candidate's, from 0 to 1")


def _limit(default: int, what: str, *, least: int = 1, most: int = _MOST) -> Any:
    return Field(default=default, ge=least, le=most, description=f"a number of {what}, from {least} to {most}")


def _in_development(data: Mapping[str, Any]) -> bool:
    return bool(data.get("environment") == "development")


class Settings(BaseSettings):
    """What the gateway was told. ``Settings(...)`` itself reads nothing but its arguments; ``load_settings`` reads the rest.

    A field's description says what its value must be: it completes "expected …" in an error.
    """

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, validate_default=False
    )

    graph: Annotated[str, AfterValidator(graph_name)] = Field(default="", description=EXPECTED_GRAPH)
    environment: Literal["development", "production"] = Field(default="development", description="development or production")
    host: str = Field(default="127.0.0.1", min_length=1, pattern=r"^\S+$", description="a host name or an address")
    port: int = Field(default=8_000, ge=0, le=65_535, description="a port from 0 to 65535")
    workers: int = Field(default=1, ge=1, le=256, description="a number of processes from 1 to 256")
    handover: str = Field(default="", pattern=r"^[ -~]{1,90}$", description="the path of a Unix socket, of at most 90 characters of ASCII")
    data_dir: Annotated[Path, AfterValidator(folder)] = Field(default=Path("data"), description="a folder, or where one can be made")
    stores: dict[str, StoreSettings] = Field(default={}, description="a table of stores by name")
    audit: str = Field(default="", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="the name of a store")

    startup: Startup = Field(
        default_factory=lambda data: "require" if data["environment"] == "production" else "degraded", description="require or degraded"
    )
    migrate: bool = Field(default=False, description="true or false: whether a start migrates all stores, and not the embedded alone")
    migrate_lock_timeout_s: Seconds = 60.0

    page_max: int = Field(default=100, ge=1, le=10_000, description="rows of a page, from 1 to 10000")
    page_default: int = Field(
        default_factory=lambda data: min(10, data["page_max"]), ge=1, le=10_000, description="rows of a page, from 1 to page_max"
    )
    nodes_max: int = Field(default=1_000, ge=1, le=100_000, description="ids in one nodes(ids:), from 1 to 100000")
    body_limit_bytes: int = Field(default=1_048_576, ge=1_024, le=1_073_741_824, description="bytes, from 1024 to 1073741824")
    access_log: bool = Field(default=True, description="true or false: whether every request is a line in the log")
    log_format: Literal["json", "text"] = Field(default="json", description="json or text")
    traces: Literal["off", "otlp"] = Field(default="off", description="off or otlp")
    traces_url: str = Field(
        default="", pattern=r"^https?://[^\s/]\S*$", description="the URL of a collector, such as http://localhost:4318/v1/traces"
    )
    traces_share: float = Field(default=1.0, ge=0, le=1, description="a share of requests, from 0 to 1")
    slow_query_ms: int = Field(default=1_000, ge=0, le=3_600_000, description=_SLOW)
    health_token: str = Field(default="", pattern=r"^[!-~]{16,512}$", description="a secret of 16 to 512 visible characters of ASCII")
    metrics: bool = Field(
        default_factory=lambda data: _in_development(data) or bool(data.get("health_token")),
        description="true or false: whether /metrics is served",
    )
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
    variables_values_max: int = _limit(10_000, "values in a request's variables")
    arguments_values_max: int = _limit(20_000, "values in the arguments of an operation")
    filter_conditions_max: int = _limit(100, "conditions of a filter", most=CONDITIONS_MOST)
    filter_depth_max: int = _limit(10, "levels of a filter", most=LEVELS_MOST)
    filter_in_max: int = _limit(1_000, "items of a list in a filter", most=ITEMS_MOST)
    filter_text_max: int = _limit(256, "characters to look for in a filter", most=TEXT_MOST)
    cost_max: int = _limit(10_000, "objects that an operation's page sizes allow")
    objects_max: int = _limit(20_000, "objects of an answer")
    edges_max: int = _limit(100_000, "edges that are read for an operation")
    introspection_fields_max: int = _limit(100, "fields of an introspection per type of the schema")
    response_limit_bytes: int = _limit(8 * _MIB, "bytes of an answer", least=1_024)

    # The HTTP edge
    http_statuses: Literal["audit", "draft"] = Field(default="audit", description="audit or draft")
    get: bool = Field(default_factory=_in_development, description="true or false: whether queries by GET are served")
    get_preflight: bool = Field(
        default_factory=lambda data: data["environment"] == "production",
        description="true or false: whether a GET needs the header GraphQL-Require-Preflight",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(host_patterns)] = Field(
        default=(), description="host names without ports, such as api.example.com or *.example.com, or * for any"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(origins)] = Field(
        default=(), description="origins such as https://app.example.com, without a path, or * for any"
    )
    cors_credentials: bool = Field(default=False, description="true or false: whether pages of these origins may send cookies")
    cors_headers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(header_names)] = Field(
        default=(), description="names of headers, such as X-Tenant"
    )
    url_limit_bytes: int = Field(default=8_192, ge=256, le=65_536, description="bytes, from 256 to 65536")
    header_limit_bytes: int = Field(default=16_384, ge=1_024, le=262_144, description="bytes, from 1024 to 262144")
    headers_max: int = Field(default=100, ge=10, le=1_000, description="a number of headers from 10 to 1000")
    json_depth_max: int = Field(default=64, ge=8, le=500, description="levels of objects and lists in a body, from 8 to 500")
    json_values_max: int = _limit(20_000, "values in a body")
    bodies_limit_bytes: int = _limit(64 * _MIB, "bytes of bodies that are not complete, of all clients together", least=65_536)
    connections_max: int = Field(default=1_000, ge=8, le=1_000_000, description="a number of connections from 8 to 1000000")
    keep_alive_timeout_s: Seconds = 5.0
    header_timeout_s: Seconds = 5.0
    body_timeout_s: Seconds = 10.0
    unread_timeout_s: Seconds = 10.0
    unread_limit_bytes: int = Field(default=67_108_864, ge=65_536, le=1_099_511_627_776, description="bytes, from 65536 to 1099511627776")

    # Sockets and streams of events
    streams_max: int = _limit(500, "sockets and streams of events that are open at a time")
    subscriptions_max: int = _limit(20, "operations that run at a time over one socket or stream of events")
    socket_init_timeout_s: Seconds = 3.0
    socket_message_limit_bytes: int = _limit(64 * 1024, "bytes of a message over a socket", least=1_024)
    socket_messages_per_s: int = _limit(100, "frames a second over a socket, of all sorts")
    socket_headers: Annotated[tuple[str, ...], NoDecode, BeforeValidator(header_names)] = Field(
        default=("Authorization",), description="names of headers, such as Authorization"
    )
    stream_ping_s: Seconds = 20.0
    stream_queue_max: int = _limit(64, "messages that wait for a client with a socket or a stream of events")
    stream_stalled_s: Seconds = 2.0

    requests_max: int = _limit(64, "requests that are worked on at the same time")
    requests_min: int = _limit(0, "requests to which requests_max may go down, as it is found out; 0 for a fixed number", least=0)
    requests_waiting_max: int = _limit(64, "requests that wait for their turn", least=0)
    requests_wait_s: Seconds = 0.5
    # Who has a share of these (http/fairness.py)
    fair_by: str = Field(
        default="",
        pattern=r"^(subject|address|tenant|header:[A-Za-z0-9][A-Za-z0-9-]{0,63})?$",
        description="subject, address, tenant, or a header that a proxy sets, such as header:X-User",
    )
    client_requests_max: int = _limit(0, "requests of a client that are worked on at the same time; 0 for any number", least=0)
    request_deadline_s: Seconds = 10.0
    store_timeout_s: Seconds = 3.0
    store_write_timeout_s: Seconds = 5.0
    connect_timeout_s: Seconds = 2.0

    # The end of the process (http/draining.py)
    drain_delay_s: float = Field(
        default_factory=lambda data: 5.0 if data["environment"] == "production" else 0.0,
        ge=0,
        le=3_600,
        allow_inf_nan=False,
        description="seconds, from 0 to 3600",
    )
    drain_s: Seconds = 20.0

    # What stands before each store's pool (stores/guards.py)
    pool_wait_s: Seconds = 1.0
    breaker_calls: int = Field(default=20, ge=0, le=_MOST, description="a number of calls from 1 on, or 0 for no breaker")
    breaker_share: float = Field(default=0.5, gt=0, le=1, description="a share of calls, more than 0 and at most 1")
    breaker_window_s: Seconds = 10.0
    breaker_open_s: Seconds = 5.0
    retry_share: float = Field(default=0.1, ge=0, le=1, description="a share of reads, from 0 to 1")
    # What is kept for when a store fails (stores/stale.py)
    stale_rows_max: int = _limit(10_000, "rows and pages")
    stale_limit_bytes: int = _limit(16 * _MIB, "bytes", least=65_536)
    written_key: str = Field(default="", pattern=r"^[!-~]{16,512}$", description="a secret of 16 to 512 visible characters of ASCII")
    # Whose databases a request is about (config/tenants.py), and from where a client may have a store read
    tenant_header: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$", description="the name of a header, such as X-Tenant")
    tenant_default: str = Field(default="", description="the name of a tenant")
    tenants: dict[str, dict[str, str]] = Field(default={}, description="a table for each tenant, with URLs by store")
    tenant_urls: dict[str, str] = Field(default={}, description="a table of URLs by store, each with one {tenant}")
    tenants_shared: Annotated[tuple[str, ...], NoDecode, BeforeValidator(texts)] = Field(
        default=(), description="names of stores that all tenants have in common"
    )
    tenants_open_max: int = _limit(20, "tenants whose pools are open at a time", most=10_000)
    tenant_idle_s: Seconds = 300.0
    sources: dict[str, dict[str, str]] = Field(default={}, description="a table for each store, with URLs by name")

    # What carries writes on
    relay: bool = Field(default=True, description="true or false: whether this process carries writes on to where they are replicated")
    relay_lag_max_s: Seconds = 10.0

    @property
    def urls(self) -> dict[str, str]:
        """The URL of every store, by the store's name."""
        return {name: store.url for name, store in self.stores.items()}

    @property
    def candidates(self) -> dict[str, str]:
        """The URLs that stores are moved to, by the store's name; of those that are."""
        return {name: store.candidate for name, store in self.stores.items() if store.candidate}

    @property
    def all_urls(self) -> dict[str, str]:
        """The URL of every store, those of candidates among them."""
        return self.urls | {candidate_of(name): url for name, url in self.candidates.items()}

    @property
    def required(self) -> frozenset[str]:
        """The stores without which nothing is served at the start."""
        return frozenset(name for name, store in self.stores.items() if (store.startup or self.startup) == "require")

    @property
    def slow_s(self) -> dict[str, float]:
        """From how many seconds on a call to a store is slow, by the store's name; without those where none is."""
        limits = {name: self.slow_query_ms if store.slow_query_ms is None else store.slow_query_ms for name, store in self.stores.items()}
        return {name: limit / 1_000 for name, limit in limits.items() if limit}

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
