import json
import time
import uuid
from decimal import Decimal

import pytest

from alerts.channels import Delivered, FailedForGood, RetryLater, blocks, posting, slack
from alerts.messages import Bar, Section
from tests.alerts.far_sides import Drip, Hang, Reply
from tests.alerts.making import make_message

KIND = slack.Slack()


def send(url, **message):
    return KIND.send(make_message(**message), {}, url, uuid.uuid4())


def test_a_message_is_posted_as_block_kit(webhook):
    outcome = send(webhook.url)

    assert outcome == Delivered(answer="200 ok")
    body = webhook.posts[0]
    assert body["text"] == "warning: 70 % used"
    texts = json.dumps(body["blocks"], ensure_ascii=False)
    assert "*70 % used*" in texts
    assert "*Used*\\n71 %" in texts
    assert "<http://tollkeeper.example/budgets/17|Open the budget>" in texts
    assert "Possibly repeated" not in texts
    assert webhook.headers[0]["Host"] == webhook.url.split("/")[2]


def test_what_may_have_come_before_is_called_possibly_repeated(webhook):
    send(webhook.url, possibly_repeated=True)

    assert "Possibly repeated" in json.dumps(webhook.posts[0])


def test_names_can_neither_call_a_whole_channel_nor_hide_a_link(webhook):
    hostile = "<!channel> & <https://evil.example|click>"

    send(webhook.url, title=hostile, summary=hostile, rows=((hostile, hostile),), next_step=hostile)

    sent = json.dumps(webhook.posts[0])
    assert "<!channel>" not in sent
    assert "<https://evil" not in sent
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;" in sent
    assert all(text["verbatim"] for text in mrkdwn(webhook.posts[0]["blocks"]))


def mrkdwn(blocks):
    for block in blocks:
        for text in [block.get("text"), *block.get("fields", []), *block.get("elements", [])]:
            if text:
                yield text


def test_a_long_message_keeps_within_what_slack_takes():
    rows = tuple((f"label {n}", "v" * 5000) for n in range(23))

    sent = blocks.payload(make_message(title="t" * 9000, summary="s" * 9000, rows=rows))["blocks"]

    assert len(sent) <= 50
    assert all(len(block.get("fields", [])) <= 10 for block in sent)
    assert all(len(field["text"]) <= 2000 for block in sent for field in block.get("fields", []))
    assert all(len(block["text"]["text"]) <= 3000 for block in sent if "text" in block)
    assert len(json.dumps(sent, ensure_ascii=False)) <= 12_000
    assert "This is not all" in json.dumps(sent)
    assert "Open the budget" in json.dumps(sent[-1])


def test_a_message_that_fits_is_sent_whole():
    rows = tuple((f"label {n}", "v" * 100) for n in range(23))

    sent = blocks.payload(make_message(rows=rows))["blocks"]

    assert sum(len(block.get("fields", [])) for block in sent) == 23
    assert "This is not all" not in json.dumps(sent)


def test_bars_are_lines_of_one_width_in_a_code_block_that_no_name_ends():
    section = Section(
        title="By *use case*",
        bars=(
            Bar(label="a ``` <!here>", value="1,200 USD", share=Decimal(1)),
            Bar(label="b", value="6 USD", share=Decimal("0.005")),
        ),
    )

    sent = blocks.payload(make_message(rows=(), sections=(section,)))["blocks"]

    head, bars = (block["text"]["text"] for block in sent[2:4])
    assert head == "*By *use case**"
    assert bars.startswith("```\n")
    assert bars.endswith("\n```")
    assert bars.count("```") == 2
    first, second = bars.splitlines()[1:-1]
    assert "&lt;!here&gt;" in first
    assert (first.count("█"), second.count("█"), second.count("░")) == (10, 1, 9)
    assert first.replace("&lt;", "<").replace("&gt;", ">").index("█") == second.index("█")


def test_more_bars_than_one_block_takes_go_into_several():
    bars = tuple(Bar(label=f"use case {n}", value="1 USD", share=Decimal("0.5")) for n in range(150))

    sent = blocks.payload(make_message(sections=(Section(bars=bars),)))["blocks"]

    drawn = [block["text"]["text"] for block in sent if "█" in json.dumps(block, ensure_ascii=False)]
    assert len(drawn) > 1
    assert all(len(text) <= 3000 for text in drawn)
    assert sum(text.count("use case") for text in drawn) == 150


@pytest.mark.parametrize("status", [400, 403, 404, 410, 301])
def test_what_will_not_get_better_fails_for_good(webhook, status):
    webhook.script.append(Reply(status, "no_service", {"Location": webhook.url}))

    outcome = send(webhook.url)

    assert outcome == FailedForGood(reason=f"{status} no_service")
    assert len(webhook.posts) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "99999999999999999999"}, 999999999.0),
    ],
)
def test_too_many_requests_says_how_long_to_wait(webhook, headers, seconds):
    webhook.script.append(Reply(429, "slow down", headers))

    outcome = send(webhook.url)

    assert outcome == RetryLater(reason="429 slow down", retry_after_seconds=seconds)


def test_a_date_to_retry_after_is_read_by_the_clock_of_the_far_side(webhook):
    webhook.script.append(Reply(503, "", {"Retry-After": "Fri, 31 Dec 2199 23:59:59 GMT"}))

    outcome = send(webhook.url)

    assert outcome.retry_after_seconds > 86_400


def test_the_answer_and_the_log_never_hold_the_webhooks_address(webhook, caplog):
    caplog.set_level("DEBUG")
    for status in (200, 400, 500):
        webhook.script.append(Reply(status, f"no webhook at {webhook.url} or /services/T000/B000/very-secret"))

    outcomes = [send(webhook.url) for _ in range(3)]

    assert "very-secret" not in repr(outcomes)
    assert "***" in repr(outcomes)
    assert KIND.describe({}, webhook.url) == "127.0.0.1"


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "http://3.121.19.1/x"]
)
def test_internal_and_unencrypted_addresses_are_refused_where_not_allowed(settings, url):
    settings.ALLOW_INTERNAL_WEBHOOKS = False

    problems = KIND.check({}, url)

    assert [field for field, _ in problems] == ["secret"]
    assert ("TOLLKEEPER_ALLOW_INTERNAL_WEBHOOKS" in problems[0][1]) is url.startswith("https:")
    assert isinstance(send(url), FailedForGood)


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://hooks.example/x", "https://", "https://u:p@3.121.19.1/x"])
def test_what_is_no_webhook_address_is_a_problem(settings, url):
    settings.ALLOW_INTERNAL_WEBHOOKS = False

    problems = KIND.check({}, url)

    assert [field for field, _ in problems] == ["secret"]
    assert "u:p" not in repr(problems)


def test_a_sound_address_is_no_problem_even_while_its_name_cannot_be_resolved(settings):
    settings.ALLOW_INTERNAL_WEBHOOKS = False

    assert KIND.check({}, "https://hooks.nowhere.invalid/services/T/B/x") == []


def test_a_setting_that_slack_does_not_have_is_a_problem(webhook):
    assert KIND.check({"channel": "#general"}, webhook.url) == [("config", "A Slack webhook has no setting 'channel'.")]


def test_the_certificate_is_checked_against_the_name_though_the_connection_goes_to_a_checked_address(tls_webhook):
    outcome = send(f"https://localhost:{tls_webhook.port}/x")

    assert outcome == Delivered(answer="200 ok")
    assert tls_webhook.headers[0]["Host"] == f"localhost:{tls_webhook.port}"


def test_a_certificate_for_another_name_means_that_nothing_was_sent(tls_webhook):
    outcome = send(f"https://127.0.0.1:{tls_webhook.port}/x")

    assert isinstance(outcome, RetryLater)
    assert not outcome.maybe_received
    assert tls_webhook.posts == []


@pytest.mark.parametrize("behaviour", [Hang(), Drip()])
def test_a_far_side_behind_tls_that_hangs_or_drips_is_cut_off_in_time(tls_webhook, monkeypatch, behaviour):
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 0.4)
    tls_webhook.script.append(behaviour)
    began = time.monotonic()

    outcome = send(f"https://localhost:{tls_webhook.port}/x")

    assert outcome == RetryLater(reason="no answer in time", maybe_received=True)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("said", [r"no route \/services\/T1\/B1\/{key}", "unknown key {key}", "/services/T1/B1/{key}?"])
def test_the_key_in_the_address_is_in_no_answer_however_it_is_repeated(webhook, said):
    key = "XyZ0123456789abcdefghijk"
    webhook.script.append(Reply(404, said.format(key=key)))

    outcome = send(f"{webhook.url}/services/T1/B1/{key}")

    assert key not in repr(outcome)
    assert "***" in repr(outcome)
