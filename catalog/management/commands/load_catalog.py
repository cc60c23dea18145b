"""`manage.py load_catalog`: the common offerings with their list prices. Running it again changes nothing."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from catalog.services import standard
from core.commands import QuickCommand


class Command(QuickCommand):
    help = "Add the common offerings with their list prices; what the catalogue says already stands."

    def handle(self, **options: Any) -> None:
        loaded = standard.load(by="manage.py load_catalog", at=timezone.now())
        if not loaded:
            self.stdout.write("The catalogue has all of it already.")
            return
        self.stdout.write(
            f"Added {loaded.offerings} offerings of {loaded.models} models at {loaded.providers} providers, "
            f"{loaded.aliases} names and {loaded.prices} list prices."
        )
