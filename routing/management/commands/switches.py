"""`manage.py switches [off|on KIND NAME ...]`: what is switched off, and turning it off and on, from a shell.

Exits with 0 when it is done and with 1, and a sentence for each thing that is wrong, when nothing was turned.
"""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from core.commands import QuickCommand
from core.errors import Invalid
from routing.models import SwitchKind
from routing.selectors import switches as selected
from routing.selectors.switches import SwitchRow
from routing.services import switches

USUAL_MINUTES = 30


class Command(QuickCommand):
    help = (
        "List what is switched off or let through, or turn a provider, model or offering off and on in every "
        "environment. It ends by itself, also in gateways that cannot reach us."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="off|on", help="without either, what holds now is listed")
        most = switches.LONGEST_SECONDS // 60
        for verb, told, usual, minutes in (
            ("off", "turn something off", USUAL_MINUTES, f"how long it is off, 1 to {most} (default {USUAL_MINUTES})"),
            ("on", "turn it on again", 0, "let it through for so long though its model or provider is off (default 0)"),
        ):
            one = verbs.add_parser(verb, help=told)
            one.add_argument("kind", metavar="KIND", help=f"one of {', '.join(SwitchKind.values)}")
            one.add_argument("name", metavar="NAME", help="as the catalogue has it, such as openai")
            one.add_argument("--minutes", type=int, default=usual, help=minutes)
            one.add_argument("--reason", required=True, help="shown to everybody who sees the switch")
            one.add_argument("--by", metavar="NAME", default="", help="who turns it (default: the shell's user)")

    def handle(self, *, verb: str | None = None, **given: Any) -> None:
        now = timezone.now()
        if verb is None:
            self._list(now)
            return
        names = ("kind", "name", "minutes", "reason", "by")
        self._turn(now, off=verb == "off", **{name: given[name] for name in names})

    def _list(self, now: datetime) -> None:
        rows = selected.in_force(at=now)
        if not rows:
            self.stdout.write("Nothing is switched off.")
        for row in rows:
            self.stdout.write(_line(row, now))

    def _turn(self, now: datetime, *, off: bool, kind: str, name: str, minutes: int, reason: str, by: str) -> None:
        by = by or f"manage.py switches ({_user()})"
        try:
            switch = switches.turn(
                kind=kind, name=name, off=off, seconds=minutes * 60, reason=reason, by=by, at=now
            )  # fmt: skip
        except Invalid as error:
            told = {"seconds": f"--minutes is from {1 if off else 0} to {switches.LONGEST_SECONDS // 60}."}
            found = [told.get(field, text) for field, text in error.problems]
            raise CommandError("\n".join([str(error), *found])) from error
        if switch.until > switch.since:
            word = "off" if off else "let through"
            self.stdout.write(f"The {kind} {switch.name} is {word} until {_clock(switch.until)}.")
        else:
            self.stdout.write(f"The switch on the {kind} {switch.name} is taken back.")
        self.stdout.write("Gateways have it with their next poll.")


def _line(row: SwitchRow, now: datetime) -> str:
    word = "off" if row.off else "let through"
    left = -(-(row.until - now).total_seconds() // 60)
    return f"{row.kind} {row.name}: {word} until {_clock(row.until)}, {left:.0f} min left, by {row.by}: {row.reason}"


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
