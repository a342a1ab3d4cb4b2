"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET")
)  # clients may invent others, and each would be kept forever
_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
_FACTORS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "llasa_requests_total", "Answers.", ["method", "route", "status"], registry=registry
        )
        self.waiting = Gauge(
            "llasa_starts_waiting", "Parts of texts that wait for a place.", registry=registry
        )
        self.running = Gauge("llasa_sequences", "Batch size now.", registry=registry)
        self.steps = Counter("llasa_steps_total", "Steps of the model.", registry=registry)
        self.tokens = Counter(
            "llasa_tokens_total", "Speech tokens; by steps: mean batch size.", registry=registry
        )
        self.audio_seconds = Counter(
            "llasa_audio_seconds_total", "Speech of finished requests.", registry=registry
        )
        self.verifier_seconds = Counter(
            "llasa_verifier_seconds_total", "Judging candidates.", ["verifier"], registry=registry
        )
        self.first_audio = Histogram(
            "llasa_first_audio_seconds",
            "From acceptance to the first sound.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.rtf = Histogram(
            "llasa_rtf",
            "Seconds from acceptance to end for a second of speech.",
            buckets=_FACTORS,
            registry=registry,
        )

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answer."""
        method = method if method in _METHODS else "other"
        self.requests.labels(method, route, status).inc()

    def step(self, sequences: int) -> None:
        """Count a step of so many sequences."""
        self.steps.inc()
        self.tokens.inc(sequences)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)
