import pytest
from celery import current_app
from django.conf import settings

from alerts import tasks
from alerts.models import Delivery
from core import nudges
from tests.alerts.making import make_alert, make_channel

pytestmark = pytest.mark.django_db


def test_the_task_sends_until_nothing_is_due_and_lets_the_next_nudge_through(webhook, monkeypatch):
    monkeypatch.setattr(nudges, "_resting_until", 0.0)
    monkeypatch.setattr(tasks, "_ATTEMPTS_PER_CALL", 2)
    make_channel(kind="slack", secret=webhook.url)
    for _ in range(5):
        make_alert()
    nudges._redis().set("tollkeeper:nudge:alerts.tasks.deliver_due", b"1", ex=5)

    tasks.deliver_due()

    assert set(Delivery.objects.values_list("state", flat=True)) == {"delivered"}
    assert len(webhook.posts) == 5
    assert nudges._redis().get("tollkeeper:nudge:alerts.tasks.deliver_due") is None


def test_the_sweep_names_the_task_and_its_queue():
    sweep = settings.CELERY_BEAT_SCHEDULE["sweep-deliveries"]

    queue = current_app.amqp.router.route({}, sweep["task"])["queue"].name
    assert (sweep["task"], queue) == (tasks.deliver_due.name, tasks.QUEUE)
