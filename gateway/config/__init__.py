"""Settings: which there are, what their values may be, and where they are read from. Read once, at the start."""

from gateway.config.reading import audit_setting, graph_setting, load_settings, store_variable
from gateway.config.settings import Settings, StoreSettings
from gateway.config.values import EXPECTED_GRAPH, hidden, is_graph_name, normal_host, normal_origin

__all__ = [
    "EXPECTED_GRAPH",
    "Settings",
    "StoreSettings",
    "audit_setting",
    "graph_setting",
    "hidden",
    "is_graph_name",
    "load_settings",
    "normal_host",
    "normal_origin",
    "store_variable",
]
