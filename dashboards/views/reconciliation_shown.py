"""Statement and ledger in words: cells, lines, reasons with what to do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from core import money
from dashboards.templatetags.figures import exact, percent, tokens, usd, usd_in, usd_places
from dashboards.templatetags.links import offering_url
from usage.selectors.compared import (
    AGREES,
    APART,
    NOT_COMPARED,
    OURS_ONLY,
    THEIRS_ONLY,
    USUAL_TOLERANCE,
    Pair,
    Reason,
    Reconciliation,
    Row,
)
from usage.selectors.statements import COST, MEASURES, Coverage, KeyLine

TITLES = {
    "input_tokens": "Input",
    "cache_read_tokens": "Cache read",
    "cache_write_tokens": "Cache write",
    "output_tokens": "Output",
    "requests": "Requests",
    COST: "Cost",
}
STATES = {
    AGREES: ("ok", "agrees"),
    APART: ("warning", "apart"),
    THEIRS_ONLY: ("danger", "not in the ledger"),
    OURS_ONLY: ("warning", "not in the statement"),
    NOT_COMPARED: ("neutral", "not compared"),
}
_LEAST = Decimal("0.001")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an address says. Days are UTC days, both included; None leaves them to the page."""

    first: date | None = None
    last: date | None = None
    provider: str = ""
    tolerance: Decimal = USUAL_TOLERANCE

    def query(self, **changes: Any) -> str:
        state = replace(self, **changes)
        pairs = [("from", state.first.isoformat())] if state.first else []
        pairs += [("to", state.last.isoformat())] if state.last else []
        pairs += [("provider", state.provider)] if state.provider else []
        pairs += [("tolerance", money.plain(state.tolerance))] if state.tolerance != USUAL_TOLERANCE else []
        return urlencode(pairs)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A measure of both sides in words: the provider's, ours, the difference and its tone."""

    title: str
    theirs: str
    ours: str
    difference: str
    share: str
    tone: str
    exact: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """A reason with what to do about it."""

    text: str
    provider: str = ""
    url: str = ""
    action: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    row: Row
    cells: Sequence[Cell]
    tone: str
    state: str
    reasons: Sequence[Told]
    url: str


def places_of(found: Reconciliation) -> int:
    """Return how many decimals the costs of a table have, theirs and ours."""
    return usd_places(side for row in found.rows for side in (row.figures[COST].theirs, row.figures[COST].ours))


def line_of(row: Row, asked: Asked, places: int) -> Line:
    tone, state = STATES[row.state]
    place = asked.query(provider=row.provider)
    if row.day is None:
        url = f"{reverse('reconciliation-model')}?{place}&{urlencode({'model': row.model})}"
    else:
        url = spend_url(replace(asked, provider=row.provider, first=row.day, last=row.day), model=row.model)
    return Line(
        row=row,
        cells=cells_of(row.figures, asked.tolerance, places),
        tone=tone,
        state=state,
        reasons=[told(one, asked, row) for one in row.reasons] if row.state != AGREES else [],
        url=url,
    )


def cells_of(figures: Mapping[str, Pair], tolerance: Decimal, places: int) -> list[Cell]:
    return [cell_of(name, figures[name], tolerance, places) for name in MEASURES]


def cell_of(name: str, pair: Pair, tolerance: Decimal, places: int = 2) -> Cell:
    """Return a cell; a cost has so many decimals, and a difference of costs as many as it takes."""
    short = partial(usd_in, places=places) if name == COST else tokens
    apart = usd if name == COST else tokens
    sign = "$" if name == COST else ""
    said = [("provider", pair.theirs), ("we", pair.ours), ("difference", pair.difference)]
    exactly = [f"{who} {sign}{exact(value)}" for who, value in said if value is not None]
    tone = "neutral" if pair.difference is None else "bad" if pair.apart(tolerance) else "good"
    return Cell(
        title=TITLES[name],
        theirs=short(pair.theirs),
        ours=short(pair.ours),
        difference=_signed(apart(pair.difference), pair),
        share=share_words(pair),
        tone=tone,
        exact=", ".join(exactly),
    )


def _signed(text: str, pair: Pair) -> str:
    return f"+{text}" if pair.difference and pair.difference > 0 else text


def share_words(pair: Pair) -> str:
    """Return the difference as a share of what the provider says, with its sign."""
    if pair.difference is None:
        return ""
    if not pair.difference:
        return "same"
    if pair.share is None:
        return "statement says 0"
    if abs(pair.share) < _LEAST:
        return f"under {percent(_LEAST)}"
    return f"{'+' if pair.share > 0 else '-'}{percent(abs(pair.share))}"


def stats_of(found: Reconciliation) -> list[tuple[str, Cell]]:
    both = Pair(
        theirs=_sum(found.total["input_tokens"].theirs, found.total["output_tokens"].theirs),
        ours=_sum(found.total["input_tokens"].ours, found.total["output_tokens"].ours),
    )
    return [
        ("Cost", cell_of(COST, found.total[COST], found.tolerance)),
        ("Tokens", replace(cell_of("input_tokens", both, found.tolerance), title="Tokens")),
        ("Requests", cell_of("requests", found.total["requests"], found.tolerance)),
    ]


def _sum(*values: Any) -> Any:
    return None if None in values else sum(values)


_ACTIONS = {
    "unpriced": ("attention", "Unpriced usage"),
    "uncounted": ("attention", "Not counted by gateways"),
    "theirs-only": ("gateways", "Gateways"),
    "not-reported": ("gateways", "Gateways"),
    "kept-out": ("gateways", "Gateways"),
    "corrected-later": ("months", "Months"),
    "corrections-booked-here": ("months", "Months"),
    "list-price": ("prices-contracts", "Contracts"),
    "no-usage-statement": ("reconciliation-files", "Import one"),
    "no-cost-statement": ("reconciliation-files", "Import one"),
    "days-missing": ("reconciliation-files", "Provider statements"),
}


def told(reason: Reason, asked: Asked, row: Row | None = None) -> Told:
    """Return a reason with the page on which somebody can do something about it."""
    name, action = _ACTIONS.get(reason.code, ("", ""))
    url = reverse(name) if name else ""
    if name == "attention":
        url += f"?{urlencode({'list': reason.code})}"
    if reason.code == "no-offering" and row is not None:
        if row.suggestion and offering_url(row.suggestion):
            since = {"name": f"{row.provider}/{row.model}", "since": str(asked.first)}
            url = f"{reverse('offering-name', args=[row.suggestion])}?{urlencode(since)}"
            action = "Let it mean that"
        else:
            url = f"{reverse('offering-new')}?{urlencode({'model': row.model, 'provider': row.provider})}"
            action = "Add it"
    return Told(text=reason.text, provider="" if row is not None else reason.provider, url=url, action=action)


def covered_words(one: Coverage, found: Reconciliation, asked: Asked) -> tuple[str, str, str, str]:
    """Return a provider, how many of the days its exports of usage and of costs hold, and where it stands by day."""
    of = (found.last - found.first).days + 1
    return (
        one.provider,
        f"{len(one.usage_days):,} of {of:,} days" if one.usage_days else "none",
        f"{len(one.cost_days):,} of {of:,} days" if one.cost_days else "none",
        f"{reverse('reconciliation-model')}?{asked.query(provider=one.provider)}",
    )


def key_words(line: KeyLine) -> dict[str, Any]:
    return {
        "key": line.key,
        "project": line.project,
        "service_tier": line.service_tier,
        "item": line.item,
        "cost_usd": line.figures.get(COST),
        "figures": [
            (TITLES[name], (usd if name == COST else tokens)(line.figures.get(name)), exact(line.figures.get(name)))
            for name in MEASURES
        ],
    }


def spend_url(asked: Asked, *, model: str = "") -> str:
    pairs = [("from", str(asked.first)), ("to", str(asked.last)), ("by", "model")]
    pairs += [("provider", asked.provider)] if asked.provider else []
    pairs += [("model", model)] if model else []
    return f"{reverse('spend')}?{urlencode(pairs)}"
