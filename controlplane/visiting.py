"""The demo's gateways ask for rules as long as it runs: a child of the demo, beside the processes of every house."""

from __future__ import annotations

import os
import time


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    import django

    django.setup()
    from django.db import OperationalError, connection
    from django.utils import timezone

    from controlplane.seed.fleet import EVERY_SECONDS, Fleet

    fleet = Fleet()
    while True:
        try:
            fleet.ask(at=timezone.now())
        except OperationalError:
            connection.close()  # the database is away for a moment: the next round finds it
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
