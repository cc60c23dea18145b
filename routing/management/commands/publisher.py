"""The publisher: tells gateways of exceeded budgets and ended switches, until SIGTERM."""

from __future__ import annotations

import signal
import sys
import threading
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import timezone

from core.commands import QuickCommand
from routing.serving import publisher

_HEARTBEAT_EVERY_SECONDS = 5.0


class Command(QuickCommand):
    help = "Publish a new state revision whenever budgets or switches change; runs until SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--heartbeat", type=Path, help="a file that is touched every few seconds while the database answers"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        heartbeat: Path | None = options["heartbeat"]
        next_beat_at = 0.0

        def looked() -> None:
            nonlocal next_beat_at
            if next_beat_at == 0.0:
                sys.stderr.write("publisher ready\n")
                sys.stderr.flush()
            if time.monotonic() >= next_beat_at:
                next_beat_at = time.monotonic() + _HEARTBEAT_EVERY_SECONDS
                if heartbeat is not None:
                    heartbeat.touch()

        publisher.run(stop=stop, clock=timezone.now, looked=looked)
