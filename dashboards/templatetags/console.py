"""Parts of a page that need arithmetic or a file's name: icons, meters, form controls, links of the shell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Any

from django import forms, template
from django.forms.boundfield import BoundField
from django.templatetags.static import static
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from dashboards.templatetags.figures import percent

register = template.Library()

SPRITE = "vendor/icons-3.51.0.svg"


@register.filter
def sentence(text: str) -> str:
    """Return words with a capital at their beginning, unless they begin with the name of an offering."""
    return text if "@" in text.partition(" ")[0] else text[:1].upper() + text[1:]


@register.simple_tag
def icon(name: str, label: str = "", extra: str = "") -> SafeString:
    """Render an icon of the sprite. Without a label it is decoration and silent to a screen reader."""
    return _silent(name, extra) if not label else _drawn(name, format_html('role="img" aria-label="{}"', label), extra)


@lru_cache(maxsize=1024)
def _silent(name: str, extra: str) -> SafeString:
    # A page has a hundred of them, the same few on every page; names and classes are those of templates.
    return _drawn(name, SafeString('aria-hidden="true"'), extra)


def _drawn(name: str, voice: SafeString, extra: str) -> SafeString:
    return format_html(
        '<svg class="tk-icon {}" width="20" height="20" {} focusable="false"><use href="{}#{}"></use></svg>',
        extra,
        voice,
        static(SPRITE),
        name,
    )


@register.simple_tag
def lines(rows: Iterable[Sequence[str]]) -> SafeString:
    """Write the lines of `_table.html`: their first cell names them, the others are numbers. Texts are escaped.

    Half a year of days is a thousand cells, which a template takes ten times as long to walk through.
    """
    return mark_safe("".join(_line(row) for row in rows))  # noqa: S308 (each cell is escaped)


def _line(row: Sequence[str]) -> str:
    first, *others = map(conditional_escape, row)
    numbers = "".join([f'<td class="num">{cell}</td>' for cell in others])
    return f'<tr><th scope="row">{first}</th>{numbers}</tr>\n'


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A threshold on a meter: its place in per cent of the meter's width, and whether it is passed."""

    x: Decimal
    label: str
    passed: bool


def place(share: Decimal, full: Decimal) -> Decimal:
    """Return where a share lies on a meter whose right end is `full`, in per cent of its width."""
    return (min(max(share, Decimal(0)), full) / full * 100).quantize(Decimal("0.01"))


@register.inclusion_tag("_meter.html")
def meter(
    share: Decimal | int | None,
    label: str,
    thresholds: Sequence[Decimal | int] = (70, 90, 100),
    expected: Decimal | int | None = None,
) -> dict[str, Any]:
    """Draw how much of a limit is used.

    `share` is of the limit (1 is all of it; None is not known), `thresholds` are per cent as budgets carry
    them, `expected` is the share that the forecast sees at the period's end. The scale ends at the limit, and
    grows in steps of 25 per cent when the share or a threshold lies beyond it, up to four times the limit.
    """
    known = None if share is None else Decimal(share)
    marks = sorted(Decimal(threshold) / 100 for threshold in thresholds)
    furthest = max([Decimal(1), *marks, known or Decimal(0)])
    full = min(Decimal(4), (furthest * 4).to_integral_value(ROUND_CEILING) / 4)
    passed = [mark for mark in marks if known is not None and known >= mark]
    if known is None:
        level = "unknown"
    elif known >= 1:
        level = "over"
    elif passed:
        level = "near"
    else:
        level = "within"
    return {
        "label": label,
        "level": level,
        "share": known,
        "words": "not known" if known is None else f"{percent(known)} used",
        "width": None if known is None else place(known, full),
        "limit_x": place(Decimal(1), full) if full > 1 else None,
        # On a phone the words of a threshold just before the end and of the end itself would run into each other.
        "names_the_limit": full <= 1 and not any(Decimal("0.85") < mark < 1 for mark in marks),
        "expected_x": None if expected is None else place(Decimal(expected), full),
        "expected_words": None if expected is None else f"{percent(Decimal(expected))} expected at the end",
        "ticks": [
            Tick(x=place(mark, full), label=f"{(mark * 100).normalize():f}", passed=mark in passed)
            for mark in marks
            if mark < full
        ],
    }


@register.filter
def control(field: BoundField, focus: bool = False) -> SafeString:
    """Render a form field's control with our classes, tied to its help text and its errors."""
    widget = field.field.widget
    if isinstance(widget, forms.CheckboxInput):
        kind = "form-check-input"
    elif isinstance(widget, forms.Select):
        kind = "form-select"
    else:
        kind = "form-control"
    attributes: dict[str, Any] = {"class": f"{kind}{' is-invalid' if field.errors else ''}"}
    about = [f"{field.auto_id}_errors"] if field.errors else []
    if field.help_text:
        about.append(f"{field.auto_id}_help")
    if about:
        attributes["aria-describedby"] = " ".join(about)
    if field.errors:
        attributes["aria-invalid"] = "true"
    if focus:
        attributes["autofocus"] = True
    attributes["placeholder"] = ""  # a placeholder is no label, and repeats ours
    return field.as_widget(attrs=attributes)
