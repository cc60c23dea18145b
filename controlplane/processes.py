"""The processes of an installation, in one place: the supervisor runs them, docker-compose.yml repeats them.

A test compares the two, so that a process added here is not forgotten there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_WORKER = ("python", "-m", "celery", "-A", "controlplane", "worker", "--loglevel", "info")
# Workers have nothing to tell each other: rows in PostgreSQL say what is to be done.
_ALONE = ("--without-gossip", "--without-mingle", "--without-heartbeat")


@dataclass(frozen=True, kw_only=True)
class Process:
    """One long-running process: what it is called, how it is started, how it is stopped."""

    name: str
    command: tuple[str, ...]  # with {host}, {port} and {data} left open
    stage: int  # lower stages stop first, one stage together
    grace_seconds: float  # from SIGTERM to SIGKILL

    def argv(self, *, host: str, port: int, data: str) -> list[str]:
        """Return the command for one place; `data` is a directory that survives restarts."""
        return [part.format(host=host, port=port, data=data) for part in self.command]


def _worker(queue: str, *, concurrency: int) -> Process:
    return Process(
        name=queue,
        command=(
            *_WORKER,
            "--queues",
            queue,
            "--hostname",
            f"{queue}@%h",
            "--concurrency",
            str(concurrency),
            *_ALONE,
        ),
        stage=2,
        grace_seconds=15,
    )


WEB = Process(
    name="web",
    command=(
        "python",
        "-m",
        "granian",
        # RSGI, so that polls for rules are answered on the loop; Django has a few threads behind it (rsgi.py).
        "--interface",
        "rsgi",
        "--host",
        "{host}",
        "--port",
        "{port}",
        "--workers",
        "1",
        "--workers-kill-timeout",
        "8",
        # Connections, of which every poll that waits holds one (rsgi.py); Granian's own 1024 would shut people out.
        "--backpressure",
        "10000",
        "--respawn-failed-workers",
        "--no-ws",
        "controlplane.rsgi:application",
    ),
    stage=1,
    grace_seconds=10,
)

# Celery's own beat and not a loop of ours: it remembers in its file what ran when, so an hourly task runs
# though the demo is restarted every half hour, and it replaces a file that a kill -9 left broken.
SCHEDULER = Process(
    name="scheduler",
    command=(
        "python",
        "-m",
        "celery",
        "-A",
        "controlplane",
        "beat",
        "--loglevel",
        "info",
        "--schedule",
        "{data}/scheduler",
        "--pidfile",
        "",
    ),
    stage=3,
    grace_seconds=5,
)

# Celery would be late: gateways are to know of an exceeded budget within a second, and of a switch's end on time.
PUBLISHER = Process(
    name="publisher",
    command=("python", "manage.py", "publisher", "--heartbeat", "{data}/publisher"),
    stage=3,
    grace_seconds=5,
)

PROCESSES: Sequence[Process] = (
    WEB,
    PUBLISHER,
    _worker("intake", concurrency=2),
    _worker("alerts", concurrency=2),
    _worker("background", concurrency=1),
    SCHEDULER,
)
