"""The bounds of one request to the service, and of all requests together."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The bounds of a service. The defaults suit two cores and 4 GB.

    Attributes:
        workers: processes that decode and predict; as many jobs run at once.
        queue: jobs that may wait for a worker; one more is answered with 503.
        admitted: jobs from the first byte of their body to the last of their answer, which bounds what uploads take on
            disk; one more is answered with 503.
        per_client: those of one address; one more is answered with 429.
        connections: open at once, whatever they do; one more is answered with 503.
        connections_per_client: those of one address, unless it is a trusted proxy's; one more is answered with 503, and
            beyond half as many again they are closed.
        max_bytes: of a request's body, or of what a URL leads to.
        max_timeline_bytes: of a timeline that is to be rendered (an hour of eight classes takes less than 2 MB).
        fetch_wait_s: seconds that a URL may wait until others have been fetched.
        max_duration_s: of a sound.
        max_samples: of a sound, in all its channels, as the file has them; these take about 20 s to decode (an hour of
            stereo at 96 kHz has 0.7 billion).
        job_timeout_s: seconds that a worker may take for a job.
        job_memory_bytes: that a job may take beyond what its worker holds at rest.
        fetch_timeout_s: seconds that a URL may take until its file is here.
        public_urls_only: whether URLs that lead to private, loopback or link-local addresses are refused. Only tests
            on one machine allow them.
        header_timeout_s: seconds until a request's headers must be there.
        idle_timeout_s: seconds without a byte of the body, or in which no byte of the answer is taken.
        read_rate: bytes a second of the answer that a client must take while more of it waits.
        upload_timeout_s: seconds until the whole body must be there.
        drain_timeout_s: seconds that running requests get when the service stops.
    """

    workers: int = 2
    queue: int = 32
    admitted: int = 64
    per_client: int = 16
    connections: int = 256
    connections_per_client: int = 128
    max_bytes: int = 100_000_000
    max_timeline_bytes: int = 8_000_000
    max_duration_s: int = 3600
    max_samples: int = 1_200_000_000
    job_timeout_s: float = 120
    job_memory_bytes: int = 512_000_000
    fetch_wait_s: float = 20
    fetch_timeout_s: float = 120
    public_urls_only: bool = True
    header_timeout_s: float = 10
    idle_timeout_s: float = 20
    read_rate: int = 1000
    upload_timeout_s: float = 600
    drain_timeout_s: int = 30
