"""A switch ends by itself in a gateway that has not heard of us since: by its own clock, from what it was served."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from core import keys
from routing.rules import evaluator
from routing.services import switches
from tests.factories import make_key
from tests.routing.making import MIDDLE, OPUS, make_version, stock

pytestmark = pytest.mark.django_db(transaction=True)


def test_what_was_served_once_lets_the_offering_back_in_at_until_and_not_before():
    keys.forget()
    stock()
    make_version()
    now = timezone.now()
    switches.turn(
        kind="provider", name="anthropic", off=True, seconds=600, reason="an outage", by="lead@example.com", at=now
    )

    served = Client().get(
        "/api/v1/rules/production", headers={"Authorization": f"Bearer {make_key('rules:read')}"}
    ).json()  # fmt: skip
    decide = evaluator.compile(served).decide
    context = {"use_case": "code-review", "task": "code"}
    until = now + timedelta(seconds=600)
    before, after = decide(context, until - timedelta(microseconds=1)), decide(context, until)

    assert [(one.offering, one.reason) for one in (before, after)] == [(MIDDLE, "switched_off"), (OPUS, "rule")]
