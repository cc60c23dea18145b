"""Fills in the demo's company; run by the demo as a child process, so that the supervisor stays small.

Speaks in lines of JSON: `{"step": ..., "done": ..., "of": ...}` while it works, then `{"sign_in": [email,
password]}`.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    import django

    django.setup()
    from django.utils import timezone

    from controlplane import seed

    if not seed.is_filled():
        seed.fill(now=timezone.now(), progress=_progress)
    seed.read_prices(now=timezone.now(), progress=_progress)
    _tell({"sign_in": list(seed.sign_in())})


def _progress(step: str, done: int, of: int) -> None:
    _tell({"step": step, "done": done, "of": of})


def _tell(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
