from datetime import timedelta
from decimal import Decimal

import pytest

from alerts.messages import Bar, Origin, Section, address, as_text, compose, one_line
from tests.alerts.making import FACTS, NOON, make_message


def test_facts_become_a_message_with_addresses_on_our_own_site():
    message = compose(
        title="70 % used",
        severity="warning",
        facts=FACTS,
        base_url="https://toll.example",
        sent_at=NOON,
        possibly_repeated=True,
    )

    assert message.summary == FACTS["summary"]
    assert message.rows == (("Used", "1,420,000 of 2,000,000"), ("Period gone", "48 %"))
    assert message.next_step == FACTS["next"]
    assert message.links == (("Open the budget", "https://toll.example/budgets/17"),)
    assert message.possibly_repeated


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"summary": None, "rows": None, "links": "nonsense", "next": 7},
        {"rows": [["alone"], "text", ["a", "b", "c"], None], "links": [[]]},
        {"sections": ["text", None, 7], "timed": True},
        {"sections": {"title": "no list"}},
    ],
)
def test_odd_facts_still_make_a_message(facts):
    message = compose(title="Something", severity="info", facts=facts, base_url="https://toll.example", sent_at=NOON)

    assert (message.title, message.rows, message.sections, message.links) == ("Something", (), (), ())


def test_sections_hold_rows_and_bars_and_no_share_is_beyond_its_bar():
    section = {
        "title": "By\nuse case",
        "rows": [["Total", "12 USD"], "text"],
        "bars": [["a", "9 USD", "0.75"], ["b", "3 USD", "7"], ["c", "?", "NaN"], ["d", "?", "much"], ["e", "-"]],
    }

    message = compose(
        title="Digest", severity="info", facts={"sections": [section, {}]}, base_url="https://toll.example",
        sent_at=NOON,
    )  # fmt: skip

    first, second = message.sections
    assert (first.title, first.rows) == ("By use case", (("Total", "12 USD"),))
    assert [(bar.label, bar.value, bar.share) for bar in first.bars] == [
        ("a", "9 USD", Decimal("0.75")),
        ("b", "3 USD", 1),
        ("c", "?", 0),
        ("d", "?", 0),
    ]
    assert second == Section()


@pytest.mark.parametrize(("share", "per_cent"), [("0", 0), ("0.0001", 1), ("0.5", 50), ("0.999", 100), ("1", 100)])
def test_a_bar_of_something_shows_something(share, per_cent):
    bar = Bar(label="a", value="", share=Decimal(share))

    assert (bar.per_cent, bar.per_cent + bar.per_cent_left) == (per_cent, 100)


ORIGIN = Origin(alert_id=42, kind="canary", raised_at=NOON)


@pytest.mark.parametrize(
    ("still_open", "links"), [(True, ["Open the budget", "Acknowledge"]), (False, ["Open the budget"])]
)
def test_an_open_alert_ends_with_a_link_to_acknowledge_it(still_open, links):
    message = compose(
        title="70 %", severity="warning", facts=FACTS, base_url="https://toll.example", sent_at=NOON, origin=ORIGIN,
        still_open=still_open,
    )  # fmt: skip

    assert [text for text, _ in message.links] == links
    if still_open:
        assert message.links[-1][1] == "https://toll.example/alerts/42/acknowledge/"


def test_a_message_that_is_timed_says_how_long_it_took_to_leave():
    message = compose(
        title="Daily check", severity="info", facts={"summary": "Crossed at 09:00:01.", "timed": True}, origin=ORIGIN,
        base_url="https://toll.example", sent_at=NOON + timedelta(seconds=1.24),
    )  # fmt: skip

    assert message.summary == "Crossed at 09:00:01. This message took 1.2 s to leave."


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("/budgets/17?tab=limits#top", "https://toll.example/budgets/17?tab=limits#top"),
        ("@evil.example/x", "https://toll.example/%40evil.example/x"),
        ("//evil.example/x", "https://toll.example/evil.example/x"),
        ("javascript:alert(1)", "https://toll.example/javascript:alert%281%29"),
        ('/a"><b>', "https://toll.example/a%22%3E%3Cb%3E"),
    ],
)
def test_whatever_a_path_holds_the_address_stays_on_our_site(path, whole):
    assert address("https://toll.example", path) == whole


def test_a_title_is_one_line_without_control_characters():
    assert one_line("70 %\r\nBcc: everyone@example.com\x00 \u2028used ") == "70 % Bcc: everyone@example.com used"


def test_the_text_says_everything_and_whether_it_may_be_a_repetition():
    section = Section(
        title="By use case",
        rows=(("Total", "12 USD"),),
        bars=(Bar(label="a", value="9 USD", share=Decimal("0.75")), Bar(label="bcd", value="13 USD", share=Decimal(0))),
    )
    text = as_text(make_message(possibly_repeated=True, sections=(section,)))

    assert "[warning] 70 % used" in text
    assert "Possibly repeated" in text
    assert "Used: 71 %" in text
    assert f"By use case\n-----------\nTotal: 12 USD\na   {'█' * 15}{'░' * 5}  9 USD\nbcd {'░' * 20} 13 USD" in text
    assert "Nothing is blocked." in text
    assert "Open the budget: http://tollkeeper.example/budgets/17" in text
    assert "Possibly repeated" not in as_text(make_message())
