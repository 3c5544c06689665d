"""Settings: which there are, what their values may be, and where they are read from. Read once, at the start."""

from gateway.config.reading import audit_setting, graph_setting, load_settings, store_variable
from gateway.config.settings import Settings, StoreSettings
from gateway.config.tenants import has_templates, is_tenant, samples_of, settings_of
from gateway.config.values import EXPECTED_GRAPH, hidden, is_graph_name, normal_host, normal_origin

__all__ = [
    "EXPECTED_GRAPH",
    "Settings",
    "StoreSettings",
    "audit_setting",
    "graph_setting",
    "has_templates",
    "hidden",
    "is_graph_name",
    "is_tenant",
    "load_settings",
    "normal_host",
    "normal_origin",
    "samples_of",
    "settings_of",
    "store_variable",
]
