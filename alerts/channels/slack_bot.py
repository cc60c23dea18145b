"""Slack through a bot's token: `chat.postMessage`, which reaches every channel that the bot was invited to.

The token is the only secret; the channel is named in the settings. Slack answers 200 also where it did not post, with
`{"ok": false, "error": "..."}`: what will not get better by itself is named below and ends the delivery, everything
else is tried again, errors that nobody has heard of too. `internal_error` and `fatal_error` say that part of the work
may have been done, so the next message is "possibly repeated". 429 comes with Retry-After.

`client_msg_id` is made of the delivery's key and the channel. Slack's list of errors speaks of finding duplicates by
it, its list of arguments leaves it out: it costs nothing and may spare a repetition, and nothing here relies on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings

from alerts.channels import posting
from alerts.channels.base import Delivered, FailedForGood, Field, Outcome, Problem, RetryLater
from alerts.channels.blocks import payload
from alerts.messages import Message

# A token and a channel that work are for people to find: trying again does not.
FOR_GOOD = frozenset(
    {
        # the token
        "not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "not_allowed_token_type",
        "no_permission", "missing_scope", "access_denied", "team_access_not_granted", "two_factor_setup_required",
        "enterprise_is_restricted", "accesslimited", "app_missing_action_url", "as_user_not_supported",
        # the channel
        "channel_not_found", "not_in_channel", "is_archived", "messages_tab_disabled", "restricted_action",
        "restricted_action_read_only_channel", "restricted_action_thread_only_channel",
        "restricted_action_thread_locked", "restricted_action_non_threadable_channel", "cannot_reply_to_message",
        # the message
        "msg_too_long", "msg_blocks_too_long", "no_text", "invalid_blocks", "invalid_blocks_format",
        "too_many_attachments", "too_many_contact_cards", "attachment_payload_limit_exceeded", "invalid_arguments",
        "invalid_arg_name", "invalid_array_arg", "invalid_charset", "invalid_form_data", "invalid_post_type",
        "missing_post_type", "invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large",
        "metadata_must_be_sent_from_app", "slack_connect_canvas_sharing_blocked",
        "slack_connect_file_link_sharing_blocked", "slack_connect_lists_sharing_blocked", "method_deprecated",
        "deprecated_endpoint",
    }
)  # fmt: skip
# Of the others these say that the message may be there already.
MAYBE_RECEIVED = frozenset(
    {"internal_error", "fatal_error", "duplicate_message_not_found", "duplicate_channel_not_found"}
)

_HINTS = {
    "not_in_channel": "invite the bot to the channel",
    "channel_not_found": "no such channel, or a private one without the bot",
    "missing_scope": "the bot needs the scope chat:write",
}
_TOKEN = re.compile(r"xoxb-[A-Za-z0-9-]{1,200}")
_CHANNEL = re.compile(r"[^\s<>&\"']{1,80}")
_ANSWER_BYTES = 256_000  # the answer repeats the message


class SlackBot:
    name = "slack_bot"
    label = "Slack bot"
    fields = (
        Field(
            name="channel",
            label="Channel",
            help="The channel's id, such as C0123456789, or its name, such as #llm-costs. Invite the bot to it.",
        ),
        Field(
            name="secret",
            label="Bot token",
            help="Begins with xoxb- and has the scope chat:write; kept encrypted, never shown.",
            secret=True,
        ),
    )

    def check(self, config: Mapping[str, Any], secret: str) -> list[Problem]:
        problems: list[Problem] = [
            ("config", f"A Slack bot has no setting {name!r}.") for name in config if name != "channel"
        ]
        channel = config.get("channel")
        if not isinstance(channel, str) or not _CHANNEL.fullmatch(channel):
            problems.append(("channel", "Enter the channel's id or name, such as C0123456789 or #llm-costs."))
        if not _TOKEN.fullmatch(secret):
            problems.append(("secret", "Enter the bot's token; it begins with xoxb-."))
        return problems

    def describe(self, config: Mapping[str, Any], secret: str) -> str:
        return str(config.get("channel", "no channel"))

    def send(self, message: Message, config: Mapping[str, Any], secret: str, idempotency_key: UUID) -> Outcome:
        if not _TOKEN.fullmatch(secret):
            return FailedForGood(reason="the channel has no usable bot token")
        channel = str(config.get("channel", ""))
        body = payload(message) | {
            "channel": channel,
            "client_msg_id": str(uuid5(idempotency_key, channel)),
            "unfurl_links": False,
            "unfurl_media": False,
        }
        answer = posting.post(
            f"{settings.SLACK_API_URL}/chat.postMessage",
            body=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {secret}"},
            secrets=[secret],
            answer_bytes=_ANSWER_BYTES,
        )
        if not isinstance(answer, posting.Answer):
            return answer
        return _outcome(answer) if answer.status == 200 else posting.by_status(answer)


def _outcome(answer: posting.Answer) -> Outcome:
    try:
        said = json.loads(answer.body)
    except ValueError:
        said = None
    if not isinstance(said, dict) or "ok" not in said:
        return RetryLater(reason=f"200 without Slack's answer: {answer.words}", maybe_received=True)
    if said["ok"] is True:
        return Delivered(answer=f"posted to {said.get('channel', '?')} as {said.get('ts', '?')}")
    error = str(said.get("error", "no error named"))
    reason = f"{error}: {_HINTS[error]}" if error in _HINTS else error
    if error in FOR_GOOD:
        return FailedForGood(reason=reason)
    return RetryLater(
        reason=reason, retry_after_seconds=answer.retry_after_seconds, maybe_received=error in MAYBE_RECEIVED
    )
