"""What the measurement of crossings is made of, without its house: budgets, the event that uses one up, the channel."""

from __future__ import annotations

import msgspec
import pytest
from django.test import Client
from django.utils import timezone

from alerts import tasks as alert_tasks
from budgets.models import Counter
from budgets.selectors import enforced
from controlplane.bench import crossing, ingest
from tests.factories import make_key
from tests.usage import making
from usage import tasks as usage_tasks


@pytest.mark.django_db(transaction=True)
def test_one_event_uses_up_one_budget_and_its_channel_notes_the_message(monkeypatch, settings):
    monkeypatch.setattr(crossing, "BUDGETS", 3)
    monkeypatch.setattr(crossing, "ENFORCED_EVERY", 2)
    settings.ALLOW_INTERNAL_WEBHOOKS = True
    making.make_priced_offering("@".join(reversed(ingest.MODELS[0])))
    key = make_key("usage:write")

    with crossing._channel() as told:
        made = crossing._make_budgets()
        for number in (1, 2):
            Client().post(
                "/api/v1/usage/events",
                msgspec.json.encode(crossing._event(number)),
                content_type="application/json",
                headers={"Authorization": f"Bearer {key}"},
            )
        usage_tasks.book_pending()
        alert_tasks.deliver_due()

    assert set(told) == {1, 2}
    assert set(Counter.objects.values_list("state", flat=True)) == {"live"}
    assert [one.budget_id for one in enforced.exceeded(at=timezone.now())] == [made[2]]


def test_a_figure_of_times_is_their_p99_and_says_the_rest():
    figure = crossing._figure("told", [n / 100 for n in range(101)], "meanwhile", limit=2, aim=0.5)

    assert (figure.value, figure.limit, figure.aim, figure.meets) == (0.99, 2, 0.5, True)
    assert figure.note == "median 0.500 s, the slowest 1.000 s, meanwhile"
