"""Where alerts can go. Another kind of channel is one class behind `base.ChannelKind`, in a module beside these."""

from __future__ import annotations

from alerts.channels.base import ChannelKind, Delivered, FailedForGood, Field, Outcome, RetryLater
from alerts.channels.email import Email
from alerts.channels.slack import Slack

KINDS: dict[str, ChannelKind] = {kind.name: kind for kind in (Slack(), Email())}

__all__ = ["KINDS", "ChannelKind", "Delivered", "FailedForGood", "Field", "Outcome", "RetryLater"]
