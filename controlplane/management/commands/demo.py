"""`manage.py demo`, listed in `manage.py help`.

manage.py hands the command over before it gets here, because settings need servers that the demo starts.
"""

from __future__ import annotations

import sys
from typing import Any

from controlplane import demo
from core.commands import QuickCommand


class Command(QuickCommand):
    help = "Run everything on this machine with data to look at (options: manage.py demo --help)."

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(demo.main(argv[2:]))

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(demo.main([]))
