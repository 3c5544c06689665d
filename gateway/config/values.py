"""What the values of settings are, each in its normal form (ValueError where it is none), and how they are shown without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from typing import NoReturn

import orjson

from gateway.stores.kinds import normal_url
from gateway.stores.routing import AUTO

EXPECTED_GRAPH = "module:attribute of a Graph, such as shop.graph:graph"


def hidden(value: object) -> str:
    """Return the value as one line for people, with the passwords of URLs as ``***``."""
    return repr(_without_secrets(value))


def folder(path: Path) -> Path:
    path = path.expanduser()
    if path.exists() and not path.is_dir():
        raise ValueError("expected a folder")
    return path


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


def host_patterns(given: object) -> tuple[str, ...]:
    return tuple(item if item == "*" else "*." * item.startswith("*.") + normal_host(item.removeprefix("*.")) for item in texts(given))


def is_graph_name(name: str) -> bool:
    """Return whether this is ``module:attribute``."""
    module, _, attribute = name.partition(":")
    return attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))


def graph_name(name: str) -> str:
    if not is_graph_name(name):
        raise ValueError("expected module:attribute")
    return name


def texts(given: object) -> tuple[str, ...]:
    """Return the texts of a list, or of one text with commas or spaces between them."""
    listed = re.split(r"[\s,]+", given.strip()) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(item, str) for item in listed):
        raise ValueError("expected names")
    return tuple(item for item in listed if item)


def replica_urls(given: object) -> tuple[str, ...]:
    return tuple(item if item == AUTO else normal_url(item) for item in texts(given))


def share_of_candidate(given: object) -> float:
    """Return the share of reads that go to the candidate, of ``{primary = 90, candidate = 10}``, as a table or its JSON."""
    table = orjson.loads(given) if isinstance(given, str) else given
    if not isinstance(table, Mapping) or table.keys() != {"primary", "candidate"}:
        raise ValueError("expected a table with primary and candidate")
    parts = [int(str(table[name])) for name in ("primary", "candidate")]
    if min(parts) < 0 or sum(parts) == 0:
        raise ValueError("expected parts of a whole")
    return parts[1] / sum(parts)


def origins(given: object) -> tuple[str, ...]:
    return tuple(item if item == "*" else normal_origin(item) for item in texts(given))


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


def header_names(given: object) -> tuple[str, ...]:
    names = texts(given)
    if not all(map(_HEADER, names)):
        raise ValueError("expected names of headers")
    return names


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
