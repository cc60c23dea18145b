import pytest

from alerts.messages import address, as_text, compose, one_line
from tests.alerts.making import FACTS, make_message


def test_facts_become_a_message_with_addresses_on_our_own_site():
    message = compose(
        title="70 % used", severity="warning", facts=FACTS, base_url="https://toll.example", possibly_repeated=True
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
    ],
)
def test_odd_facts_still_make_a_message(facts):
    message = compose(title="Something", severity="info", facts=facts, base_url="https://toll.example")

    assert (message.title, message.rows, message.links) == ("Something", (), ())


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
    text = as_text(make_message(possibly_repeated=True))

    assert "[warning] 70 % used" in text
    assert "Possibly repeated" in text
    assert "Used: 71 %" in text
    assert "Nothing is blocked." in text
    assert "Open the budget: http://tollkeeper.example/budgets/17" in text
    assert "Possibly repeated" not in as_text(make_message())
