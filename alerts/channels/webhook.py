"""Signed webhooks for programs, after the Standard Webhooks specification (standardwebhooks.com).

POST of a JSON body (`body`, described in alerts/README.md) with three headers: `webhook-id`, the delivery's key, which
a repetition bears again; `webhook-timestamp`, of this attempt; `webhook-signature`, HMAC-SHA256 over both and the body.
So a receiver verifies with any library of that specification, and refuses what is too old or was seen before.

2xx is delivered, 410 says that nobody wants it any more; everything else is tried again for a day, with its Retry-After
honoured: a receiver that answers 404 or 401 for a minute is being deployed.

The secret is `whsec_` and base64 of 24 to 64 bytes. After a rotation the stored text holds the former one as well, with
the instant until which it signs too: `whsec_NEW whsec_FORMER 2026-11-22T12:00:00+00:00`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from alerts.channels import posting
from alerts.channels.base import FailedForGood, Field, Outcome, Problem, RetryLater
from alerts.messages import Message, Section

VERSION = 1
_PREFIX = "whsec_"
_BYTES = range(24, 65)  # of a secret, by the specification


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What signs: one secret, and for a while after a rotation the former one too."""

    present: str
    former: str = ""
    former_until: datetime | None = None

    def signing_at(self, instant: datetime) -> list[str]:
        former = self.former_until is not None and instant < self.former_until
        return [self.present, self.former] if former else [self.present]


class Webhook:
    name = "webhook"
    label = "Signed webhook"
    fields = (
        Field(
            name="url",
            label="Address",
            help="Where to post, from https://. It is shown to whoever may see channels: put no secret into it.",
        ),
        Field(
            name="secret",
            label="Signing secret",
            help="Begins with whsec_. Leave it empty to have one made, which is shown once.",
            secret=True,
            made=True,
        ),
    )

    def check(self, config: Mapping[str, Any], secret: str) -> list[Problem]:
        problems: list[Problem] = [
            ("config", f"A webhook has no setting {name!r}.") for name in config if name != "url"
        ]
        url = config.get("url")
        problems += posting.check(url if isinstance(url, str) else "", name="webhook", field="url")
        try:
            keys = read_keys(secret)
        except ValueError:
            keys = None
        if keys is None or _key(keys.present) is None or (keys.former and _key(keys.former) is None):
            problems.append(("secret", "A signing secret is whsec_ and the base64 of 24 to 64 random bytes."))
        return problems

    def describe(self, config: Mapping[str, Any], secret: str) -> str:
        return posting.host(str(config.get("url", "")))

    def make_secret(self) -> str:
        return _PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()

    def rotated(self, stored: str, *, new: str, former_until: datetime) -> str:
        # A former one of an earlier rotation is forgotten.
        return f"{new} {read_keys(stored).present} {former_until.isoformat()}"

    def former_until(self, stored: str) -> datetime | None:
        try:
            return read_keys(stored).former_until
        except ValueError:
            return None

    def send(self, message: Message, config: Mapping[str, Any], secret: str, idempotency_key: UUID) -> Outcome:
        sent = json.dumps(body(message, idempotency_key), ensure_ascii=False, separators=(",", ":")).encode()
        try:
            signing = read_keys(secret).signing_at(message.sent_at)
            signatures = [signature(one, str(idempotency_key), message.sent_at, sent) for one in signing]
        except ValueError:
            return FailedForGood(reason="the channel has no usable signing secret")
        answer = posting.post(
            str(config.get("url", "")),
            body=sent,
            headers={
                "webhook-id": str(idempotency_key),
                "webhook-timestamp": str(int(message.sent_at.timestamp())),
                "webhook-signature": " ".join(signatures),
            },
            secrets=signing,
        )
        if not isinstance(answer, posting.Answer):
            return answer
        outcome = posting.by_status(answer)
        if isinstance(outcome, FailedForGood) and answer.status != 410:
            return RetryLater(reason=outcome.reason, retry_after_seconds=answer.retry_after_seconds)
        return outcome


def body(message: Message, idempotency_key: UUID) -> dict[str, Any]:
    """Return the body, version 1: keys are only ever added; what changes its meaning is another version."""
    origin = message.origin
    return {
        "version": VERSION,
        "id": str(idempotency_key),
        "type": f"alert.{origin.kind}" if origin else "test",
        "timestamp": (origin.raised_at if origin else message.sent_at).isoformat(),
        "sent_at": message.sent_at.isoformat(),
        "possibly_repeated": message.possibly_repeated,
        "data": {
            "alert_id": origin.alert_id if origin else None,
            "kind": origin.kind if origin else "test",
            "severity": message.severity,
            "title": message.title,
            "summary": message.summary,
            "rows": [list(row) for row in message.rows],
            "sections": [_section(section) for section in message.sections],
            "next": message.next_step,
            "links": [list(link) for link in message.links],
        },
    }


def signature(secret: str, message_id: str, at: datetime, sent: bytes) -> str:
    """Return one entry of the header `webhook-signature`.

    Raises:
        ValueError: the secret is none.
    """
    key = _key(secret)
    if key is None:
        raise ValueError("not a signing secret")
    signed = f"{message_id}.{int(at.timestamp())}.".encode() + sent
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def read_keys(text: str) -> Keys:
    """Return what a channel's stored secret holds; one secret, or a rotated one with the former.

    Raises:
        ValueError: it is neither.
    """
    match text.split():
        case [present]:
            return Keys(present=present)
        case [present, former, until]:
            former_until = datetime.fromisoformat(until)
            if former_until.tzinfo is not None:
                return Keys(present=present, former=former, former_until=former_until)
    raise ValueError("not a signing secret")


def _key(secret: str) -> bytes | None:
    if not secret.startswith(_PREFIX):
        return None
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) in _BYTES else None


def _section(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "rows": [list(row) for row in section.rows],
        "bars": [[bar.label, bar.value, str(bar.share)] for bar in section.bars],
    }
