"""Figures that /metrics reads from the database when it is asked: what is true of the house and of no single process.

An app hands in what it measures when it is loaded, as `looked_up_by` of `core.keys` does:

    gauges.measured_by(measure)     # measure(at=...) gives Gauge rows
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One figure; those of one name share their help and the names of their labels."""

    name: str  # ends with its unit
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


_measures: list[Callable[[datetime], Iterable[Gauge]]] = []


def measured_by(measure: Callable[[datetime], Iterable[Gauge]]) -> None:
    """Let /metrics ask this function, which gets the moment that it is asked at."""
    _measures.append(measure)


def as_text(*, at: datetime) -> bytes:
    """Return what all measure now, in the words of Prometheus."""
    families: dict[str, GaugeMetricFamily] = {}
    for measure in _measures:
        for gauge in measure(at):
            family = families.get(gauge.name)
            if family is None:
                family = GaugeMetricFamily(gauge.name, gauge.help, labels=list(gauge.labels))
                families[gauge.name] = family
            family.add_metric(list(gauge.labels.values()), gauge.value)
    registry = CollectorRegistry()
    registry.register(_Measured(list(families.values())))
    return generate_latest(registry)


class _Measured(Collector):
    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families
