"""/metrics of a farm, read with the parser of prometheus-client."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.support.net import uri_host
from tests.support.peer import Address


@dataclass(frozen=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


@dataclass(frozen=True)
class Metrics:
    """One scrape."""

    samples: tuple[Sample, ...]

    def select(self, name: str, **labels: str) -> list[Sample]:
        """Samples of this name that have all these labels."""
        return [
            sample
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        """Sum over the matching samples; AssertionError if there is none."""
        found = self.select(name, **labels)
        assert found, f"no sample {name}{labels} among {sorted({s.name for s in self.samples})}"
        return sum(sample.value for sample in found)

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Sums over the matching samples for each value of a label."""
        sums: dict[str, float] = {}
        for sample in self.select(name, **labels):
            sums[sample.labels[label]] = sums.get(sample.labels[label], 0) + sample.value
        return sums


def fetch(address: Address, path: str = "/metrics", timeout_s: float = 5.0) -> str:
    """Body of an HTTP GET at a farm's exporter."""
    url = f"http://{uri_host(address[0])}:{address[1]}{path}"
    with urllib.request.urlopen(url, timeout=timeout_s) as response:
        body: bytes = response.read()
    return body.decode()


def scrape(address: Address) -> Metrics:
    return Metrics(
        tuple(
            Sample(sample.name, dict(sample.labels), sample.value)
            for family in text_string_to_metric_families(fetch(address))
            for sample in family.samples
        )
    )
