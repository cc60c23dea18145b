import json
import uuid

import pytest

from alerts.channels import Delivered, FailedForGood, RetryLater, slack_bot
from tests.alerts.far_sides import Reply
from tests.alerts.making import make_message

KIND = slack_bot.SlackBot()
TOKEN = "xoxb-1-2-very-secret"
HOSTILE = "<!channel> & <https://evil.example|click>"


@pytest.fixture
def slack(webhook, settings):
    settings.SLACK_API_URL = webhook.url
    webhook.fine = Reply(200, json.dumps({"ok": True, "channel": "C0123456789", "ts": "1503435956.000247"}))
    return webhook


def send(key=None, **message):
    return KIND.send(make_message(**message), {"channel": "#llm-costs"}, TOKEN, key or uuid.uuid4())


def refused(error):
    return Reply(200, json.dumps({"ok": False, "error": error}))


def test_a_message_is_posted_with_the_token_to_the_channel_unfurls_nothing_and_bears_its_key(slack):
    key = uuid.uuid4()

    outcome = send(key, title=HOSTILE)
    KIND.send(make_message(), {"channel": "#elsewhere"}, TOKEN, key)
    send(key)

    assert outcome == Delivered(answer="posted to C0123456789 as 1503435956.000247")
    assert slack.paths[0] == "/services/T000/B000/very-secret/chat.postMessage"
    assert slack.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert slack.headers[0]["Content-Type"] == "application/json; charset=utf-8"
    body = slack.posts[0]
    assert body["channel"] == "#llm-costs"
    first, elsewhere, again = (post["client_msg_id"] for post in slack.posts)
    assert first == again != elsewhere
    assert (body["unfurl_links"], body["unfurl_media"]) == (False, False)
    assert "<!channel>" not in json.dumps(body)
    assert "Open the budget" in json.dumps(body["blocks"])


@pytest.mark.parametrize(
    "error", ["channel_not_found", "not_in_channel", "is_archived", "invalid_auth", "token_revoked", "msg_too_long"]
)
def test_what_will_not_get_better_fails_for_good_and_says_why(slack, error):
    slack.script.append(refused(error))

    outcome = send()

    assert isinstance(outcome, FailedForGood)
    assert outcome.reason.startswith(error)


@pytest.mark.parametrize(
    ("error", "maybe"),
    [
        ("service_unavailable", False),
        ("team_added_to_org", False),
        ("org_login_required", False),
        ("request_timeout", False),
        ("message_limit_exceeded", False),
        ("an_error_of_next_year", False),
        ("internal_error", True),
        ("fatal_error", True),
    ],
)
def test_what_may_get_better_is_tried_again_later(slack, error, maybe):
    slack.script.append(refused(error))

    assert send() == RetryLater(reason=error, maybe_received=maybe)


def test_too_much_is_tried_again_when_slack_says_with_whatever_status_it_says_so(slack):
    for status in (200, 429):
        slack.script.append(Reply(status, json.dumps({"ok": False, "error": "ratelimited"}), {"Retry-After": "90"}))

    outcomes = [send(), send()]

    assert [outcome.retry_after_seconds for outcome in outcomes] == [90, 90]
    assert not any(outcome.maybe_received for outcome in outcomes)


@pytest.mark.parametrize("body", ["<html>a proxy was here</html>", "[]", "{}", '{"ok": tr'])
def test_a_200_that_is_not_slacks_answer_leaves_open_whether_the_message_came(slack, body):
    slack.script.append(Reply(200, body))

    outcome = send()

    assert isinstance(outcome, RetryLater)
    assert outcome.maybe_received


def test_an_answer_that_repeats_a_long_message_is_read_whole(slack):
    slack.script.append(Reply(200, json.dumps({"message": "x" * 50_000, "ok": True, "channel": "C1", "ts": "1.2"})))

    assert send() == Delivered(answer="posted to C1 as 1.2")


def test_no_error_is_both_for_good_and_perhaps_received():
    assert not slack_bot.FOR_GOOD & slack_bot.MAYBE_RECEIVED


@pytest.mark.parametrize(
    ("config", "secret", "fields"),
    [
        ({"channel": "C0123456789"}, TOKEN, []),
        ({"channel": "#llm-kosten-ü"}, TOKEN, []),
        ({}, TOKEN, ["channel"]),
        ({"channel": "two words"}, TOKEN, ["channel"]),
        ({"channel": ["C1"]}, TOKEN, ["channel"]),
        ({"channel": "C1"}, "xoxp-a-person", ["secret"]),
        ({"channel": "C1"}, "xoxb-1\r\nX-More: header", ["secret"]),
        ({"channel": "C1", "as_user": True}, "", ["config", "secret"]),
    ],
)
def test_settings_are_checked_and_every_problem_named(config, secret, fields):
    assert [field for field, _ in KIND.check(config, secret)] == fields
    assert "xoxp-a-person" not in repr(KIND.check(config, secret))
