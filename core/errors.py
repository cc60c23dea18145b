"""The few kinds of expected failure. A concrete error stands beside the function that raises it.

Only the API's exception handler turns a kind into an HTTP status.
"""

from __future__ import annotations


class TollkeeperError(Exception):
    """Base of all expected failures; the message is a sentence for a person."""


class NotFound(TollkeeperError):
    """What was named does not exist, or not for whoever asks."""


class Invalid(TollkeeperError):
    """What was given cannot be used. `problems` lists everything found, as (field, sentence)."""

    def __init__(self, message: str, problems: list[tuple[str, str]] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or []


class Malformed(TollkeeperError):
    """What was sent cannot be read at all, so nothing in it can be named; `Invalid` is for what can be read."""


class Conflict(TollkeeperError):
    """The request is sound but somebody else was first, or the present state forbids it."""


class LimitReached(TollkeeperError):
    """Too much at once; the same request may pass later."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooLarge(TollkeeperError):
    """A body is over its limit; sending it again as it is will not help."""


class Unavailable(TollkeeperError):
    """We cannot take this now; senders should retry."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UpstreamFailed(TollkeeperError):
    """A system outside did not do its part."""
