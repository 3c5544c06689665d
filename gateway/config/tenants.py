"""Tenants and sources in the settings: which stores a tenant has, and which URLs cannot be two tenants' at once. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from gateway.config.settings import Settings, StoreSettings
from gateway.config.values import hidden
from gateway.errors import ConfigError
from gateway.stores.kinds import Kind, kind_of, normal_url
from gateway.stores.routing import AUTO

PLACE = "{tenant}"
NAME = r"[a-z0-9]+(?:-[a-z0-9]+)*"
NAME_MAX = 40
EXPECTED_NAME = f"at most {NAME_MAX} lower-case letters and digits, with single - between them"
SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,39}").fullmatch

Find = Callable[[tuple[int | str, ...]], tuple[str, Any]]  # the key as the user wrote it, and the value

_NAME = re.compile(NAME).fullmatch
_IN_A_NAME = re.compile(r"[a-z0-9-]")


def is_tenant(name: str) -> bool:
    """Return whether a tenant may have this name, in the settings and in a URL."""
    return len(name) <= NAME_MAX and _NAME(name) is not None


def settings_of(settings: Settings, name: str) -> Settings:
    """Return what holds for one tenant: the settings of a gateway that serves nobody else. LookupError where there is none of this name."""
    own = settings.tenants.get(name)
    if own is None and not (is_tenant(name) and has_templates(settings)):
        raise LookupError(f"no tenant {name}")
    stores = {store: its.model_copy(update={"url": _url(settings, own or {}, store, name)}) for store, its in settings.stores.items()}
    key = settings.written_key and hmac.digest(settings.written_key.encode(), f"tenant {name}".encode(), hashlib.sha256).hex()
    alone = {"tenant_header": "", "tenant_default": "", "tenants": {}, "tenant_urls": {}, "tenants_shared": ()}
    return settings.model_copy(update={"stores": stores, "written_key": key, **alone})


def has_templates(settings: Settings) -> bool:
    """Return whether there are tenants beside those of the table: each store that is a tenant's own has a template."""
    return bool(settings.tenant_urls) and all(store in settings.tenant_urls for store in _own(settings, settings.stores))


def samples_of(settings: Settings) -> list[Settings]:
    """Return the settings of each tenant of the table, and of one by the templates; those that are given, where there are no tenants."""
    if not settings.tenant_header:
        return [settings]
    names = [*settings.tenants, *(["any"] if has_templates(settings) and "any" not in settings.tenants else [])]
    return [settings_of(settings, name) for name in names]


def _url(settings: Settings, own: Mapping[str, str], store: str, name: str) -> str:
    if store in settings.tenants_shared:
        return settings.stores[store].url
    return own.get(store) or settings.tenant_urls[store].replace(PLACE, name)


def _own(settings: Settings, stores: Collection[str]) -> list[str]:
    return [store for store in stores if store not in settings.tenants_shared]


# --------------------------------------------------------------------------------------------------------------- checks


def checked(settings: Settings, find: Find, stores: Collection[str]) -> Settings:
    """Return the settings with the URLs of tenants and sources in their normal form. ConfigError at the first that cannot be.

    ``stores`` are the graph's. Two tenants with one database are refused as far as URLs tell: one database under two URLs is not seen.
    """
    update: dict[str, Any] = {"sources": _sources(settings, find, stores)}
    given = [name for name in ("tenant_default", "tenants", "tenant_urls", "tenants_shared") if getattr(settings, name)]
    if not settings.tenant_header:
        if given:
            raise ConfigError(f"{find((given[0],))[0]}: expected tenant_header, too, the header that says whose a request is; got none")
        return settings.model_copy(update=update)
    if settings.sources:
        raise ConfigError(f"{find(('sources',))[0]}: expected no sources beside tenants, each of which has databases of its own; got some")
    update |= _tenants(settings, find, stores)
    made = settings.model_copy(update=update)
    _refuse_common(made, find)
    return made


def _sources(settings: Settings, find: Find, stores: Collection[str]) -> dict[str, dict[str, str]]:
    for store, its in settings.sources.items():
        _known(store, stores, find(("sources", store))[0])
        for name in its:
            if not SOURCE(name):
                key = find(("sources", store, name))[0]
                raise ConfigError(f"{key}: expected a name of at most 40 lower-case letters, digits, _ and -, that begins with a letter")
    return {
        store: {name: _normal(url, find(("sources", store, name)), url) for name, url in its.items()}
        for store, its in settings.sources.items()
    }


def _tenants(settings: Settings, find: Find, stores: Collection[str]) -> dict[str, Any]:
    if settings.tenant_header.lower() in {name.lower() for name in settings.socket_headers}:
        key = find(("socket_headers",))[0]
        raise ConfigError(f"{key}: expected headers that clients may give themselves, got {settings.tenant_header}, which a proxy sets")
    for store in settings.tenants_shared:
        _known(store, stores, find(("tenants_shared",))[0])
    own = _own(settings, stores)
    for store in own:
        _refuse_of_all(store, settings.stores.get(store), find)
    templates = {}
    for store, template in settings.tenant_urls.items():
        key, value = find(("tenant_urls", store))
        _known(store, own, key)
        templates[store] = _template(template, key, value)
    tenants: dict[str, dict[str, str]] = {}
    for name, its in settings.tenants.items():
        key = find(("tenants", name))[0]
        if not is_tenant(name):
            raise ConfigError(f"{key}: expected a tenant's name of {EXPECTED_NAME}; got {name!r}")
        for store in its:
            _known(store, own, find(("tenants", name, store))[0])
        for store in own:
            if store not in its and store not in templates:
                raise ConfigError(f"{key}: expected a URL for the store {store}, here or as a template in tenant_urls; got none")
        tenants[name] = {store: _normal(url, find(("tenants", name, store)), url) for store, url in its.items()}
    if not tenants and not all(store in templates for store in own):
        raise ConfigError(
            f"{find(('tenant_header',))[0]}: expected tenants, in [tenants.NAME] or by URLs for all stores in tenant_urls; got none"
        )
    if settings.tenant_default and settings.tenant_default not in tenants and not (is_tenant(settings.tenant_default) and templates):
        key, value = find(("tenant_default",))
        raise ConfigError(f"{key} = {hidden(value)}: expected the name of a tenant, and there is none of this name")
    return {"tenants": tenants, "tenant_urls": templates}


def _refuse_of_all(store: str, its: StoreSettings | None, find: Find) -> None:
    if its is None:
        return
    if its.url:
        key = find(("stores", store, "url"))[0]
        raise ConfigError(f"{key}: expected no URL, as each tenant has its own; or name the store in tenants_shared, to have it in common")
    if any(url != AUTO for url in its.replicas):
        key = find(("stores", store, "replicas"))[0]
        raise ConfigError(f"{key}: expected auto, as replicas by URL would be one tenant's and read for all")


def _known(store: str, stores: Collection[str], key: str) -> None:
    if store not in stores:
        raise ConfigError(f"{key}: expected one of the stores {', '.join(stores) or '(there are none)'}; got {store}")


def _normal(url: str, found: tuple[str, Any], shown: str) -> str:
    try:
        return normal_url(url)
    except ValueError as error:
        raise ConfigError(f"{found[0]} = {hidden(shown)}: {error}") from None


def _template(template: str, key: str, value: Any) -> str:
    """Return a template in its normal form: one ``{tenant}``, beside which nothing stands that could be of a name."""
    before, place, after = template.partition(PLACE)
    if not place or PLACE in after:
        raise ConfigError(f"{key} = {hidden(value)}: expected a URL with one {PLACE}")
    if _IN_A_NAME.fullmatch(before[-1:]) or _IN_A_NAME.fullmatch(after[:1]):
        raise ConfigError(f"{key} = {hidden(value)}: expected no lower-case letter, digit or - beside {PLACE}, where a name would go on")
    normal = _normal(template.replace(PLACE, "0tenant0"), (key, value), template)
    return normal.replace("0tenant0", PLACE)


def _refuse_common(settings: Settings, find: Find) -> None:
    """Refuse URLs that two tenants would have, and kinds whose rows nobody else has or that are not the same for all."""
    templates = {store: _Template(text) for store, text in settings.tenant_urls.items()}
    for one, first in templates.items():
        for other, second in templates.items():
            if (both := first.meets(second)) is not None:
                key = find(("tenant_urls", one))[0]
                raise ConfigError(f"{key}: expected databases that no two tenants have; {one} of {both[0]} would be {other} of {both[1]}")
    whose: dict[str, str] = {settings.stores[store].url: "all" for store in settings.tenants_shared if store in settings.stores}
    for name, its in settings.tenants.items():
        for store, url in its.items():
            key = find(("tenants", name, store))[0]
            other = whose.setdefault(url, name)
            strangers = {found for template in templates.values() if (found := template.name_in(url)) is not None} - {name}
            if other != name or strangers:
                another = other if other != name else strangers.pop()
                raise ConfigError(f"{key}: expected a database that is no other tenant's, got the URL that {another} has")
    for url in whose:
        for store, template in templates.items():
            if whose[url] == "all" and template.name_in(url) is not None:
                raise ConfigError(f"{find(('tenant_urls', store))[0]}: expected databases of tenants, got that of a store that all have")
    kinds: dict[str, Kind] = {}
    for store, key, url in _all_urls(settings, find):
        kind = kind_of(url)
        if kind is None or not kind.shares_pools or (kind.is_embedded and kind.file_of(url) is None):
            raise ConfigError(
                f"{key}: expected a database that is there when its pool is not, for a tenant's is closed and opened; got one in memory"
            )
        first_kind = kinds.setdefault(store, kind)
        if kind is not first_kind:
            raise ConfigError(f"{key}: expected {first_kind.name}, as another tenant has for the store {store}; got {kind.name}")


def _all_urls(settings: Settings, find: Find) -> Iterator[tuple[str, str, str]]:
    for store, url in settings.tenant_urls.items():
        yield store, find(("tenant_urls", store))[0], url
    for name, its in settings.tenants.items():
        for store, url in its.items():
            yield store, find(("tenants", name, store))[0], url


class _Template:
    """A URL with a place for a name, beside which nothing of a name stands: what it makes of two names is two URLs."""

    def __init__(self, text: str) -> None:
        self._before, _, self._after = text.partition(PLACE)

    def name_in(self, url: str) -> str | None:
        """Return the name of which it makes this URL; None where there is none."""
        found = re.fullmatch(f"{re.escape(self._before)}({NAME}){re.escape(self._after)}", url)
        return found[1] if found is not None and is_tenant(found[1]) else None

    def meets(self, other: _Template) -> tuple[str, str] | None:
        """Return two names of which the two make one URL; None where there are none.

        With one beginning both have the name at the same place, and so the same name. Else the name of the one stands in what the other
        begins with.
        """
        rest = other._before.removeprefix(self._before)
        if (len(rest) == len(other._before) and self._before) or not rest:
            return None
        found = re.match(NAME, rest)
        if found is None:
            return None
        name = other.name_in(f"{self._before}{found[0]}{self._after}")
        return None if name is None or name == found[0] else (found[0], name)
