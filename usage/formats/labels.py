"""Names and labels: what text from outside may become part of an event.

PostgreSQL stores no NUL, a console shows no control characters, and an index wants an end. A sender that
speaks our own format is told (`label`, `name`); one that does not know us, and would lose the usage, is put
right (`tidy`, `tidy_name`). Either way a label that holds an e-mail address or a key becomes a keyed hash: stable
within an installation, and nobody's address or key.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from functools import lru_cache

from usage.formats.contract import FormatSettings, Refused, UseCasePlace

MAX_LABEL = 128
MAX_ID = 200
MAX_KEYS = 32
MAX_KEY = 64
MAX_VALUE = 256

_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,128}")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._:/@-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EMAIL = re.compile(r"[^\s@<>,;]@[^\s@<>,;]+\.[^\W\d_]{2,}")
# Keys that strayed into a label: of providers, LiteLLM, GitHub, Slack and AWS, ours, and tokens that are JSON inside.
# Mostly with a digit, so that `sk-learn-...` stays what it is.
_SECRET = re.compile(
    r"\b(?:sk-|tk_|gsk_|xai-|hf_|pplx-|ghp_|github_pat_|xox[a-z]-)(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{12,}"
    r"|\bAIza[A-Za-z0-9_-]{30,}|\bAKIA[A-Z0-9]{12,}|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
)
_SHORTEST_SECRET = 15  # characters; most labels are shorter
_MARKS = ("@", "sk-", "tk_", "gsk_", "xai-", "hf_", "pplx-", "ghp_", "github_pat_", "xox", "AIza", "AKIA", "eyJ")


def pseudonym(text: str, key: bytes) -> str:
    """Return a name for `text` that does not tell it: stable under one key, blind to case and margins."""
    return "h:" + hmac.digest(key, text.strip().lower().encode(errors="replace"), "sha256").hex()[:32]


def holds_an_email_address(text: str) -> bool:
    """Say whether `text` is, or contains, what looks like somebody's e-mail address."""
    return "@" in text and _EMAIL.search(text) is not None


def is_plain(text: str) -> bool:
    """Say whether labels, put together as `text`, are surely fit to be kept as they are. Quick, and for the usual."""
    if " " in text or not text.isprintable():  # of printable characters only the space could be trimmed
        return False
    # A generator would cost more than what it asks.
    for mark in _MARKS:  # noqa: SIM110
        if mark in text:
            return False
    return True


_is_usual = lru_cache(maxsize=4096)(is_plain)  # of tags and contexts, of which gateways send few, again and again


def _is_private(text: str) -> bool:
    return holds_an_email_address(text) or (len(text) >= _SHORTEST_SECRET and _SECRET.search(text) is not None)


def holds_control_characters(text: str) -> bool:
    """Say whether `text` holds what no console shows and no column of text keeps."""
    return not text.isprintable() and _CONTROL.search(text) is not None


@lru_cache(maxsize=4096)  # models, providers and tiers are few, and the pattern costs more than the look-up
def is_name(text: str) -> bool:
    """Say whether `text` can name a model, provider or offering."""
    return _NAME.fullmatch(text) is not None and _SECRET.search(text) is None


def label(field: str, text: str | None, limit: int, user_key: bytes) -> str:
    """Return the trimmed label, pseudonymous if it holds an e-mail address or a key; empty where none was given.

    Raises:
        Refused: it is too long or holds control characters.
    """
    if not text:
        return ""
    text = text.strip()
    if len(text) > limit:
        raise Refused(f"{field}: longer than {limit} characters")
    if holds_control_characters(text):
        raise Refused(f"{field}: holds control characters")
    return pseudonym(text, user_key) if _is_private(text) else text


def name(field: str, text: str | None) -> str:
    """Return the trimmed name; empty where none was given.

    Raises:
        Refused: it is not a name.
    """
    if not text:
        return ""
    text = text.strip()
    if text and not is_name(text):
        raise Refused(f"{field}: not a name of 1 to 128 characters from A-Z a-z 0-9 . _ : / @ -")
    return text


def labels(field: str, given: dict[str, str], user_key: bytes) -> dict[str, str]:
    """Return keys and values, whose lengths are checked already, as labels.

    Raises:
        Refused: too many, an empty key, or control characters.
    """
    if len(given) > MAX_KEYS:
        raise Refused(f"{field}: more than {MAX_KEYS} keys")
    if _is_usual("".join((*given, *given.values()))):
        return given
    kept: dict[str, str] = {}
    for key, value in given.items():
        clean = label(f"{field}, a key", key, MAX_KEY, user_key)
        if not clean:
            raise Refused(f"{field}: an empty key")
        kept[clean] = label(f"{field}, a value", value, MAX_VALUE, user_key)
    return kept


def tidy(text: str | None, limit: int, user_key: bytes) -> str:
    """Return whatever of `text` can be a label: trimmed, control characters gone, cut at the limit."""
    if not text:
        return ""
    text = text[: 4 * MAX_VALUE]  # before any pattern looks at it: these fields may hold anything of any size
    if not text.isprintable():
        text = _CONTROL.sub(" ", text)
    text = text.strip()
    return pseudonym(text, user_key) if _is_private(text) else text[:limit].strip()


def tidy_name(text: str | None, user_key: bytes) -> str:
    """Return `text` as a name, with an underscore where a character cannot be in one."""
    if not text:
        return ""
    if is_name(text) and "@" not in text:
        return text
    return _NOT_IN_A_NAME.sub("_", tidy(text, MAX_LABEL, user_key))


def use_case(settings: FormatSettings, named_at: Callable[[UseCasePlace], object]) -> str:
    """Return the first use case that is named, asking each place in the gateway's order; empty where none is."""
    for place in settings.use_case_from:
        named = named_at(place)
        label = tidy(named, MAX_LABEL, settings.user_key) if isinstance(named, str) else ""
        if label:
            return label
    return ""
