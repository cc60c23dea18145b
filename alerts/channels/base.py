"""What a kind of channel is, and what can become of an attempt to send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from alerts.messages import Message

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0  # of one attempt, finding the address of the far side left out

Problem = tuple[str, str]  # field, sentence


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """The far side took the message."""

    answer: str = ""  # its words, never a secret


@dataclass(frozen=True, kw_only=True)
class RetryLater:
    """It did not work now and may work later."""

    reason: str
    retry_after_seconds: float | None = None  # asked for by the far side
    # The far side may have taken the message though it did not say so: the next one says "possibly repeated".
    maybe_received: bool = False
    ours: bool = False  # a fault on our side that says nothing about the channel


@dataclass(frozen=True, kw_only=True)
class FailedForGood:
    """Sending the same again will not help."""

    reason: str


Outcome = Delivered | RetryLater | FailedForGood


@dataclass(frozen=True, kw_only=True)
class Field:
    """One thing to fill in when a channel is set up."""

    name: str  # a key of the config; the secret's is "secret"
    label: str
    help: str = ""
    secret: bool = False
    many: bool = False  # a list of texts
    made: bool = False  # left empty, one is made and shown once


class ChannelKind(Protocol):
    """One kind of channel. Methods take all they need, keep nothing and touch no database: they run in threads."""

    @property
    def name(self) -> str: ...  # a Channel row's `kind`

    @property
    def label(self) -> str: ...

    @property
    def fields(self) -> tuple[Field, ...]: ...

    def check(self, config: Mapping[str, Any], secret: str) -> list[Problem]:
        """Return everything that is wrong with a channel's settings; nothing is sent."""

    def describe(self, config: Mapping[str, Any], secret: str) -> str:
        """Say where messages go, without giving a secret away."""

    def send(self, message: Message, config: Mapping[str, Any], secret: str, idempotency_key: UUID) -> Outcome:
        """Try once, within about TOTAL_SECONDS. Failures of the far side are outcomes, not exceptions."""


@runtime_checkable
class Signing(Protocol):
    """What a kind of channel can do besides, where its secret is ours to make: the far side checks signatures by it."""

    def make_secret(self) -> str:
        """Return a new secret, which whoever sets the channel up has to hand to the far side."""

    def rotated(self, stored: str, *, new: str, former_until: datetime) -> str:
        """Return the secret to store when another one takes over and the present one goes on signing for a while."""

    def former_until(self, stored: str) -> datetime | None:
        """Say until when a stored secret signs with a former one as well; None where there is none."""
