"""The service's counters as Prometheus text: sizes, durations and outcomes, and nothing that a client sent."""

import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from genreline.web.pool import Job, Pool

log = logging.getLogger("genreline.web")


class Metrics:
    """The counters of one service."""

    def __init__(self, pool: Pool) -> None:
        self._registry = CollectorRegistry()
        self._jobs = self._counter("jobs", "Jobs that ended.", ["kind", "outcome"])
        self._job_s = Histogram(
            "genreline_job_seconds", "Time that a worker took for a job.", ["kind"], registry=self._registry
        )
        self._sound_s = self._counter("sound_seconds", "Sound that was recognized.", [])
        self._payload = self._counter("payload_bytes", "Bytes that jobs came with.", ["kind"])
        self._gauge("jobs_waiting", "Jobs that wait for a worker.", lambda: pool.waiting)
        self._gauge("jobs_running", "Jobs that a worker does.", lambda: pool.running)
        self._gauge("workers", "Worker processes.", lambda: len(pool.pids))
        self._gauge("workers_replaced", "Worker processes that died or were killed.", lambda: pool.replaced)

    def count(self, job: Job) -> None:
        """Count and log a job that has ended."""
        kind, n_bytes = job.header["kind"], job.header["n_bytes"]
        self._jobs.labels(kind, job.outcome).inc()
        self._job_s.labels(kind).observe(job.seconds)
        self._sound_s.inc(job.sound_s)
        self._payload.labels(kind).inc(n_bytes)
        log.info("%s: %d bytes, %.1f s of sound, %s after %.2f s", kind, n_bytes, job.sound_s, job.outcome, job.seconds)

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, help_text: str, labels: list[str]) -> Counter:
        return Counter(f"genreline_{name}", help_text, labels, registry=self._registry)

    def _gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        Gauge(f"genreline_{name}", help_text, registry=self._registry).set_function(value)
