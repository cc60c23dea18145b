"""What tests of pages share: usage that was really booked, and people who look at it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.test import Client
from django.utils import timezone

from core.models import User
from tests.factories import make_user
from tests.usage import making
from usage.events import Event

HOSTILE = "<script>alert(1)</script>"


def call(*, at: datetime | None = None, usd: int = 5, **overrides: Any) -> Event:
    """Make an answered call of `making.make_priced_offering` at so many dollars, five for a million of input."""
    given: dict[str, Any] = {
        "occurred_at": at or timezone.now(),
        "uncached_input_tokens": usd * 200_000,
        "output_tokens": 0,
    }
    return making.make_event(**{**given, **overrides})


def book(*events: Event, at: datetime | None = None, gateway: str = "edge") -> None:
    """Take events in and book them, as of the last one's time unless told otherwise."""
    at = at or max(event.occurred_at for event in events)
    making.send(*events, received_at=at, gateway=gateway)


def signed_in(client: Client, *roles: str) -> User:
    person = make_user(*roles)
    client.force_login(person)
    return person


def filled_in(**overrides: Any) -> dict[str, Any]:
    """Return what a person sends who connects a gateway; `kind` is the id of a recipe."""
    given = {"name": "edge", "kind": "native", "environment": "production", "scopes": ["usage:write", "rules:read"]}
    return given | overrides
