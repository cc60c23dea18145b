"""Whoever acted once, asked again later: what somebody set going is carried out only if she still may do it."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from core import access
from core.models import ApiKey, User

_KEY = "key:"


def why_not(*, label: str, action: str, at: datetime) -> str:
    """Say why whoever goes by a label of the audit trail may not do something at `at`; empty where she may.

    A label `key:NAME` stands for any key of that name that counts at `at`, so one that was rotated goes on. One query.

    Raises:
        KeyError: there is no such action.
    """
    if label.startswith(_KEY):
        return _key_why_not(label.removeprefix(_KEY), action, at)
    person = User.objects.filter(email=label).first()
    if person is None:
        return f"There is nobody called {label} here any more."
    if not person.is_active:
        return f"{label} is not active any more."
    if not access.may(person, action):
        return f"{label} holds no role any more that lets her {access.ACTIONS[action].does}."
    return ""


def _key_why_not(name: str, action: str, at: datetime) -> str:
    alive = Q(revoked_at__isnull=True) | Q(revoked_at__gt=at), Q(expires_at__isnull=True) | Q(expires_at__gt=at)
    scopes = list(ApiKey.objects.filter(*alive, name=name).values_list("scopes", flat=True))
    if not scopes:
        return f"No key called {name} works any more."
    if not any(access.ACTIONS[action].scopes.intersection(held) for held in scopes):
        return f"No key called {name} has a scope any more that lets it {access.ACTIONS[action].does}."
    return ""
