"""What a service counts, in the text that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counts of one service, apart from those of others in the process.

    Labels are names of ours and never text of a request, so that their number is bounded.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        labels = ("endpoint", "status")
        self.requests = Counter("peftrec_requests", "Requests that were answered.", labels, registry=registry)
        self.errors = Counter(
            "peftrec_errors", "Requests that were answered with a status from 400.", labels, registry=registry
        )
        self.seconds = Histogram(
            "peftrec_request_seconds",
            "From a request's head to the end of its answer.",
            ("endpoint",),
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "peftrec_batch_size", "Requests that were computed together.", buckets=SIZES, registry=registry
        )
        self.open = Gauge(
            "peftrec_open_requests", "Requests that are not answered yet, this one too.", registry=registry
        )
        self.waiting = Gauge("peftrec_waiting_requests", "Requests in the queue.", registry=registry)
        self.items = Gauge(
            "peftrec_items", "Items that are recommended, with those that were added.", ("run",), registry=registry
        )

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests.labels(endpoint, str(status)).inc()
        if status >= 400:  # noqa: PLR2004 - HTTP's own
            self.errors.labels(endpoint, str(status)).inc()
        self.seconds.labels(endpoint).observe(seconds)

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self.registry)
