"""What our management commands begin as."""

from __future__ import annotations

from django.core.management.base import BaseCommand


class QuickCommand(BaseCommand):
    """A command that begins at once.

    Django's checks import every page of the console, which takes longer than most commands do; `manage.py check`, the
    tests and `manage.py migrate` run them.
    """

    requires_system_checks: tuple[str, ...] = ()
