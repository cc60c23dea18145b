"""What this package raises at its caller. What goes wrong behind its back is in `Tollkeeper.status()` and the log."""

from __future__ import annotations


class ClientError(Exception):
    """Base of all of them; the message is a sentence for a person."""


class NotConfigured(ClientError):
    """A setting is missing or cannot be used. Raised when a client is made, never later."""


class NoRules(ClientError):
    """No rules were ever had: none from the server yet, none kept on disk. Decide by a default of your own then."""
