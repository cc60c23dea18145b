"""What starts without a page to show imports none: all pages together take longer than the rest of a start.

Nor does it look through what it loads for garbage, again and again: that took a sixth of a start.
"""

from __future__ import annotations

import subprocess
import sys

from django.core.management import get_commands, load_command_class

from controlplane.celery import app
from core.commands import QuickCommand

TASKS = (
    "import gc, sys; from controlplane.celery import app; app.loader.import_default_modules(); "
    'walks = sum(one["collections"] for one in gc.get_stats()); '
    'sys.exit(f\'{len(app.tasks)} {sorted({"controlplane.urls", "plotly"} & sys.modules.keys())} {walks < 30}\')'
)


def test_workers_and_the_scheduler_know_every_task_and_no_page_and_look_for_no_garbage_on_the_way():
    app.loader.import_default_modules()

    ended = subprocess.run([sys.executable, "-c", TASKS], capture_output=True, text=True, check=False)

    assert ended.stderr == f"{len(app.tasks)} [] True\n"


def test_no_command_of_ours_waits_for_checks():
    ours = ("alerts", "budgets", "catalog", "controlplane", "core", "dashboards", "routing", "usage")
    commands = [load_command_class(package, name) for name, package in get_commands().items() if package in ours]

    assert len(commands) > 10
    assert [one for one in commands if not isinstance(one, QuickCommand) or one.requires_system_checks] == []
