"""manage.py switches: what holds, off and on, and what is refused without a traceback."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from routing.models import StateRevision, Switch
from tests.routing.making import CHEAP, OPUS, make_version, stock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _house() -> None:
    stock()
    make_version()


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("switches", *arguments, stdout=out)
    return out.getvalue()


def test_a_provider_is_turned_off_listed_and_turned_on_again():
    revisions = StateRevision.objects.count()

    nothing = run()
    off = run("off", "provider", "anthropic", "--minutes", "45", "--reason", "an outage", "--by", "lead@example.com")
    listed = run()
    on = run("on", "provider", "anthropic", "--reason", "well again")
    after = run()

    first, second = Switch.objects.order_by("id")
    assert nothing == after == "Nothing is switched off.\n"
    assert f"The provider anthropic is off until {first.until:%Y-%m-%d %H:%M:%S}Z." in off
    assert "provider anthropic: off until" in listed
    assert "45 min left, by lead@example.com: an outage" in listed
    assert "taken back" in on
    assert (first.off, first.until - first.since) == (True, timedelta(minutes=45))
    assert (second.off, second.until) == (False, second.since)
    assert second.by.startswith("manage.py switches (")
    assert StateRevision.objects.count() == revisions + 2


def test_half_an_hour_is_the_usual_time():
    run("off", "offering", CHEAP, "--reason", "x")

    made = Switch.objects.get()
    assert made.until - made.since == timedelta(minutes=30)


def test_something_is_let_through_for_a_while():
    said = run("on", "offering", OPUS, "--minutes", "10", "--reason", "a test")

    assert f"The offering {OPUS} is let through until" in said
    assert "let through until" in run()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("off", "planet", "earth", "--reason", "x"), "one of provider, model, offering"),
        (("off", "provider", "nobody", "--reason", "x"), "no provider 'nobody'"),
        (("off", "provider", "anthropic", "--minutes", "0", "--reason", "x"), "--minutes is from 1 to 1440"),
        (("off", "provider", "anthropic", "--minutes", "1441", "--reason", "x"), "--minutes is from 1 to 1440"),
        (("on", "provider", "anthropic", "--minutes", "-1", "--reason", "x"), "--minutes is from 0 to 1440"),
        (("off", "provider", "anthropic", "--reason", " "), "Say why"),
        (("off", "provider", "anthropic", "--reason", "x" * 201), "200 characters"),
        (("off", "provider", "anthropic", "--reason", "x", "--by", "y" * 255), "254 characters"),
        (("off", "provider", "anthropic"), "--reason"),
        (("off", "provider", "anthropic", "--minutes", "soon", "--reason", "x"), "--minutes"),
        (("sideways", "provider", "anthropic", "--reason", "x"), "sideways"),
    ],
)  # fmt: skip
def test_what_cannot_be_turned_is_refused_in_a_sentence_and_nothing_is(arguments, told):
    with pytest.raises(CommandError, match=told) as refused:
        run(*arguments)

    assert refused.value.returncode == 1
    assert not Switch.objects.exists()


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(CommandError) as refused:
        run("off", "provider", "nobody", "--minutes", "0", "--reason", " ")

    assert len(str(refused.value).splitlines()) == 4
