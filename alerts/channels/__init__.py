"""Where alerts can go. Another kind of channel is one class behind `base.ChannelKind`, in a module beside these."""

from __future__ import annotations

from alerts.channels.base import ChannelKind, Delivered, FailedForGood, Field, Outcome, RetryLater, Signing
from alerts.channels.email import Email
from alerts.channels.slack import Slack
from alerts.channels.slack_bot import SlackBot
from alerts.channels.webhook import Webhook

KINDS: dict[str, ChannelKind] = {kind.name: kind for kind in (Slack(), SlackBot(), Email(), Webhook())}

__all__ = ["KINDS", "ChannelKind", "Delivered", "FailedForGood", "Field", "Outcome", "RetryLater", "Signing"]
