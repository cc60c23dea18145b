"""The demo's gateways as long as it runs: they ask for rules, and report what they do by them. A child of the demo."""

from __future__ import annotations

import os
import time


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    import django

    django.setup()
    from django.db import OperationalError, connection
    from django.utils import timezone

    from controlplane.seed import live
    from controlplane.seed.fleet import EVERY_SECONDS, Fleet

    fleet, traffic = Fleet(), None
    while True:
        try:
            fleet.ask(at=timezone.now())
            traffic = traffic or live.resumed(at=timezone.now())
            if traffic is not None:
                traffic.go_on(at=timezone.now(), served=fleet.served)
        except OperationalError:
            connection.close()  # the database is away for a moment: the next round finds it
        time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    main()
