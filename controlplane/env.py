"""Typed reading of the environment: a bad value stops the start and names the variable.

Every variable is read through one of these helpers, with its name as a literal, so that a test can compare the names
with `.env.example`.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class BadEnvironment(SystemExit):
    """A variable of the environment cannot be used; the message names it and says what it should be."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")


class Environment:
    """The process's environment over defaults that the data directory supplies (secrets, embedded servers)."""

    def __init__(self, variables: Mapping[str, str] | None = None, defaults: Mapping[str, str] | None = None) -> None:
        self._variables = os.environ if variables is None else variables
        self._defaults = defaults or {}

    def _raw(self, name: str) -> str | None:
        value = self._variables.get(name, "").strip() or self._defaults.get(name, "").strip()
        return value or None

    def text(self, name: str, default: str | None = None) -> str:
        """Return the value; without one the default, and without a default stop."""
        value = self._raw(name)
        if value is not None:
            return value
        if default is None:
            raise BadEnvironment(name, "is required and not set (see .env.example)")
        return default

    def words(self, name: str, default: str = "") -> list[str]:
        """Return the comma-separated words of the value."""
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def flag(self, name: str, default: bool) -> bool:
        value = self._raw(name)
        if value is None:
            return default
        if value.lower() in _TRUE:
            return True
        if value.lower() in _FALSE:
            return False
        raise BadEnvironment(name, f"should be true or false, not {value!r}")

    def integer(self, name: str, default: int, *, at_least: int = 0) -> int:
        value = self._raw(name)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            raise BadEnvironment(name, f"should be a whole number, not {value!r}") from None
        if number < at_least:
            raise BadEnvironment(name, f"should be at least {at_least}, not {number}")
        return number

    def key(self, name: str, default: str = "", *, size: int = 32) -> bytes | None:
        """Return the bytes that the value is the base64 of, in either alphabet; None for an empty one."""
        value = self.text(name, default)
        if not value:
            return None
        try:
            key = base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
        except ValueError:
            key = b""
        if len(key) != size:  # the value is not repeated: it may be nearly right
            raise BadEnvironment(name, f"should be {size} bytes in base64")
        return key

    def url(self, name: str, schemes: tuple[str, ...], default: str | None = None) -> str:
        value = self.text(name, default)
        if value and value.split(":", 1)[0] not in schemes:
            raise BadEnvironment(name, f"should start with one of {', '.join(f'{s}:' for s in schemes)}")
        return value
