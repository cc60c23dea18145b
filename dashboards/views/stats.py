"""A card with one number, as the pages of sums show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString


@dataclass(frozen=True, kw_only=True)
class Stat:
    """What `templates/dashboards/_stat_exact.html` shows."""

    label: str
    value: Any
    exact: str = ""  # shown when pointed at
    change: str = ""
    direction: str = "flat"
    tone: str = "neutral"
    note: str = ""
    note_tone: str = ""
    url: str = ""
    more: str = ""

    @property
    def value_markup(self) -> SafeString:
        return format_html('<span class="tk-number" title="{}">{}</span>', self.exact, self.value)
