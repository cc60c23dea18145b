"""Slack's incoming webhooks, and what understands the same (Mattermost, Rocket.Chat).

POST of a JSON body with Block Kit to the webhook's address, which is the only secret. 200 is delivered. 429 comes with
Retry-After in seconds. 400, 403, 404 and 410 mean a bad payload, a revoked webhook, an archived channel: trying again
does not help. There is no idempotency key: a message whose answer got lost cannot be told from one that never arrived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from alerts.channels import posting
from alerts.channels.base import Field, Outcome, Problem
from alerts.channels.blocks import payload
from alerts.messages import Message


class Slack:
    name = "slack"
    label = "Slack webhook"
    fields = (
        Field(
            name="secret",
            label="Webhook address",
            help="An incoming webhook, such as https://hooks.slack.com/services/...; kept encrypted, never shown.",
            secret=True,
        ),
    )

    def check(self, config: Mapping[str, Any], secret: str) -> list[Problem]:
        problems: list[Problem] = [("config", f"A Slack webhook has no setting {name!r}.") for name in config]
        return problems + posting.check(secret, name="webhook", field="secret")

    def describe(self, config: Mapping[str, Any], secret: str) -> str:
        return posting.host(secret)

    def send(self, message: Message, config: Mapping[str, Any], secret: str, idempotency_key: UUID) -> Outcome:
        answer = posting.post(secret, body=json.dumps(payload(message)).encode(), headers={})
        return posting.by_status(answer) if isinstance(answer, posting.Answer) else answer
