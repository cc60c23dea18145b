"""Runs the measurements on servers of its own and prints them as a table and as `bench.json`.

Nothing here is a test: figures depend on the machine, so what counts are ratios of two things measured together.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from controlplane.embedded import discovery
from controlplane.embedded.servers import Servers, temporary_dir

DATABASE_SETTINGS = (
    "server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "wal_compression", "jit",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table. `limit` is what a release needs, `aim` where we are going; `better` says which way.

    Without a limit it is for comparison. Without a value it could not be measured, and the note says why.
    """

    what: str
    value: float | None
    unit: str
    limit: float | None = None
    aim: float | None = None
    better: str  # "more" or "less"
    note: str = ""
    lines: Sequence[str] = ()  # what it consists of

    @property
    def meets(self) -> bool:
        if self.limit is None:
            return True
        if self.value is None:
            return False
        return self.value >= self.limit if self.better == "more" else self.value <= self.limit


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 where every figure meets its limit, else 1."""
    parser = argparse.ArgumentParser(prog="manage.py bench", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="events per round of the ingest measurement")
    parser.add_argument(
        "--grown", type=int, nargs="*", default=[1_000_000], metavar="ENTRIES",
        help="entries in the ledgers of further houses that ingest is measured on, each held against the one before",
    )  # fmt: skip
    parser.add_argument(
        "--pages-entries", type=int, default=10_000_000, metavar="ENTRIES",
        help="entries of a year in the house whose pages are opened, held against one with a tenth of them",
    )  # fmt: skip
    parser.add_argument(
        "--pages-keep", type=Path, metavar="DIR",
        help="where to keep these houses, so that the next run need not fill them; with `--only pages`",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median counts")
    parser.add_argument(
        "--only",
        choices=["crossing", "ingest", "pages", "polling", "rating", "rules", "unleash"],
        help="measure this alone",
    )
    parser.add_argument(
        "--profile", action="store_true", help="show where the time of an event goes, and measure nothing"
    )
    parser.add_argument("--out", type=Path, default=Path("bench.json"))
    options = parser.parse_args(argv)
    if options.pages_keep and options.only != "pages":
        parser.error("--pages-keep is for --only pages: what others measure begins with an empty database")

    with ExitStack() as stack:
        data_dir = options.pages_keep or stack.enter_context(temporary_dir("tollkeeper-bench-"))
        servers = stack.enter_context(Servers(data_dir))
        os.environ |= {**servers.environment(), **discovery.make_secrets(data_dir)}
        os.environ |= {
            "TOLLKEEPER_ALLOW_INTERNAL_WEBHOOKS": "true",  # a channel that is measured is in this very process
            "TOLLKEEPER_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        }
        import django

        django.setup()
        if options.profile:
            _profile(options)
            return 0
        figures, settings = _measure(options)

    _print(figures, settings)
    report = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "database": settings,
        "figures": [asdict(figure) | {"meets": figure.meets} for figure in figures],
    }
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(figure.meets for figure in figures) else 1


def _measure(options: argparse.Namespace) -> tuple[list[Figure], dict[str, str]]:
    from django.core.management import call_command
    from django.db import connection

    from controlplane.bench import crossing, ingest, pages, polling, rating, rules, unleash

    call_command("migrate", verbosity=0)
    parts: dict[str, Callable[[], list[Figure]]] = {
        "rating": rating.measure,
        "rules": lambda: rules.measure(rounds=options.rounds),
        "polling": lambda: polling.measure(rounds=options.rounds),
        "ingest": lambda: ingest.measure(events=options.events, rounds=options.rounds, grown=sorted(options.grown)),
        "crossing": lambda: crossing.measure(events=options.events, rounds=options.rounds),
        "pages": lambda: pages.measure(entries=options.pages_entries),
        "unleash": lambda: unleash.measure(rounds=options.rounds),
    }
    figures = [figure for name, part in parts.items() if options.only in (None, name) for figure in part()]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS t(name)", [list(DATABASE_SETTINGS)]
        )
        settings: dict[str, str] = dict(cursor.fetchall())
    connection.close()
    return figures, settings


def _profile(options: argparse.Namespace) -> None:
    from django.core.management import call_command
    from django.db import connection

    from controlplane import memory
    from controlplane.bench import profile

    call_command("migrate", verbosity=0)
    memory.settle()  # as the processes do that are profiled
    profile.show(profile.measure(events=options.events))
    connection.close()


def _print(figures: list[Figure], settings: dict[str, Any]) -> None:
    width = max(len(figure.what) for figure in figures)
    lines = [f"{'':{width}}  {'measured':>12}  {'needs':>8}  {'aims at':>8}"]
    for figure in figures:
        measured = "missing" if figure.value is None else f"{figure.value:,.3g} {figure.unit}".strip()
        needs, aims_at = ("" if one is None else f"{one:g}" for one in (figure.limit, figure.aim))
        mark = "" if figure.meets else "  <- misses its limit"
        lines.append(f"{figure.what:{width}}  {measured:>12}  {needs:>8}  {aims_at:>8}{mark}".rstrip())
        if figure.note:
            lines.append(f"{'':{width}}  {figure.note}")
        lines += figure.lines
    lines.append("")
    lines.append(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, PostgreSQL with "
        + ", ".join(f"{name} {value}" for name, value in settings.items())
    )
    sys.stdout.write("\n".join(lines) + "\n")
