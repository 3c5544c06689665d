"""Numbers for Prometheus, read from the counters that the gateway keeps anyway: counting costs a request nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


@dataclass(frozen=True, slots=True)
class Reading:
    """One number now. A counter only grows; a gauge does not."""

    name: str  # without the prefix and without "_total"
    help: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)
    is_counter: bool = True


class Metrics:
    """A registry of its own over ``read``, which is called for every scrape."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for reading in self._read():
            family = families.get(reading.name)
            if family is None:
                kind = CounterMetricFamily if reading.is_counter else GaugeMetricFamily
                family = families[reading.name] = kind(f"gateway_{reading.name}", reading.help, labels=list(reading.labels))
            family.add_metric(list(reading.labels.values()), reading.value)  # type: ignore[attr-defined]
        yield from families.values()

    def text(self) -> bytes:
        """Return the numbers in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)
