"""Numbers for Prometheus, read from the counters that the gateway keeps anyway: counting costs a request nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.stores.guards import Guard

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


@dataclass(frozen=True, slots=True)
class Reading:
    """One number now. A counter only grows; a gauge does not."""

    name: str  # without the prefix and without "_total"
    help: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)
    is_counter: bool = True


def guarded(guards: Mapping[str, Guard]) -> Iterator[Reading]:
    """Give what the guards before the stores' pools counted (``stores/guards.py``)."""
    for name, guard in guards.items():
        labels = {"store": name}
        if guard.places is not None:
            yield Reading("store_places", "Calls that a store takes at once.", guard.places, labels, is_counter=False)
            yield Reading("store_places_in_use", "Calls that a store is at.", guard.in_use, labels, is_counter=False)
            yield Reading("store_waiting", "Calls that wait for a place.", guard.waiting, labels, is_counter=False)
        yield Reading("store_breaker_open", "Whether a store is not asked, as it failed too often.", guard.state != "closed", labels, False)
        yield Reading("store_breaker_opened", "How often that began.", guard.opened, labels)
        yield Reading("store_breaker_refused", "Calls that were not made while it lasted.", guard.refused, labels)
        yield Reading("store_pool_exhausted", "Calls that found no place in time.", guard.exhausted, labels)
        yield Reading("store_retries", "Reads that were asked once more, after a lost connection.", guard.retried, labels)


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
