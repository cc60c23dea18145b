"""Whatever text a line of the ledger holds, the database gets it as it is: COPY's marks are no text's business."""

from __future__ import annotations

import pytest

from tests.usage import making
from tests.usage.making import make_event, send
from usage.models import LedgerEntry

pytestmark = pytest.mark.django_db

USUAL = [
    "plain",
    "",
    "null",
    "NULL",
    "\\N",
    "\\.",
    'with "quotes"',
    '"',
    "back\\slash",
    "\\",
    "{}",
    "a,b",
    "[1]",
    "Größe 模型",
]
CONTROL = ["tab\there", "line\nbreak", "\r", "\x01", "\x7f", "\\n", '\\"\t', "\u2028", "\u0085"]


@pytest.fixture(autouse=True)
def _catalogue():
    making.make_priced_offering()


@pytest.mark.parametrize("texts", [USUAL, CONTROL, USUAL + CONTROL], ids=["usual", "control", "both"])
def test_texts_of_a_batch_reach_the_ledger_as_they_are(texts):
    events = {
        f"e{number} {text}": make_event(
            event_id=f"e{number} {text}",
            call_group=text,
            session=text,
            user=text,
            rule=text,
            context={"task": text},
            tags={f"k{text}": text},
            flags=[text, "second"],
        )
        for number, text in enumerate(texts)
    }

    receipt = send(*events.values())

    assert receipt.booked == len(texts), receipt.error
    kept = {entry.event_id: entry for entry in LedgerEntry.objects.all()}
    assert kept.keys() == events.keys()
    for event_id, event in events.items():
        entry, text = kept[event_id], event.session
        assert (entry.call_group, entry.sticky_key, entry.user_key, entry.rule, entry.task) == (text,) * 5
        assert entry.tags == {f"k{text}": text}
        assert entry.flags == [text, "second"]


def test_what_is_not_given_is_null_and_what_is_empty_is_empty():
    send(
        make_event(tags={}, flags=[], latency_ms=None, reasoning_tokens=None, rule="", user="", reported_cost_usd=None)
    )

    entry = making.the_entry()

    assert (entry.tags, entry.flags, entry.latency_ms, entry.reasoning_tokens) == (None, None, None, None)
    assert (entry.rule, entry.user_key, entry.service_tier) == ("", "", "")
    assert (entry.reported_cost_usd, entry.corrects_id, entry.correction_of) == (None, None, None)
    assert entry.cost_usd is not None
    assert entry.avoided_usd == 0
