"""Where a store is, by its URL: the driver's URI, who asks, the database, the prefix of its names."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from gateway.errors import ConfigError

_SCHEMES = frozenset(f"{scheme}{security}" for scheme in ("neo4j", "bolt") for security in ("", "+s", "+ssc"))


@dataclass(frozen=True, slots=True)
class Address:
    uri: str
    auth: tuple[str, str] | None
    database: str
    prefix: str


def address_of(name: str, url: str) -> Address:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ConfigError(f"store {name}: expected neo4j://host or bolt://host, got scheme {parts.scheme!r}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    prefix = options.pop("prefix", "")
    if options and parts.scheme.startswith("bolt"):
        raise ConfigError(f"store {name}: a bolt:// URL has no parameter but prefix, got {', '.join(sorted(options))}")
    host = parts.netloc.rpartition("@")[2]
    uri = f"{parts.scheme}://{host}" + (f"?{urlencode(options)}" if options else "")
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return Address(uri, auth, unquote(parts.path.strip("/")) or "neo4j", prefix)
