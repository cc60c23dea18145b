"""How names are tidied and compared: plain Python, no I/O."""

from __future__ import annotations

import re
import unicodedata

UNKNOWN = "unknown"  # the model, or the provider, of an event that names none
UNASSIGNED = "unassigned"

LABEL_CHARACTERS = 128
MODEL_CHARACTERS = 128
PROVIDER_CHARACTERS = 64

_ORDINARY_TIERS = ("standard", "default", "auto")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9._:/@-]+")


def fold(label: str) -> str:
    """Return the form that labels of use cases and teams are compared by: trimmed, case-folded, NFC.

    Folding may make a label longer, a sharp s twice as long; what goes beyond the column's end is cut off.
    """
    folded = unicodedata.normalize("NFC", " ".join(label.split()).casefold())
    return folded[:LABEL_CHARACTERS].rstrip()


def clean_name(name: str, characters: int = MODEL_CHARACTERS) -> str:
    """Return a name of `[A-Za-z0-9._:/@-]`, in lower case and not too long; what does not fit becomes a hyphen."""
    return _NOT_IN_NAMES.sub("-", name.strip().lower())[:characters].strip("-") or UNKNOWN


def tidy_provider(name: str) -> str:
    """Return a provider's name as offerings carry it."""
    return clean_name(name.replace("@", "-"), PROVIDER_CHARACTERS)


def offering_name(model: str, provider: str) -> str:
    return f"{model}@{provider}"


def tidy_service_tier(name: str | None) -> str:
    """Return a service tier as events carry it: in lower case, and empty for the ordinary one."""
    tidy = (name or "").strip().lower()
    return "" if tidy in _ORDINARY_TIERS else tidy
