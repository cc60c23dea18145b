"""The page of one event: what was booked of it, how its cost comes about, whose word that is, who sent it where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac

from catalog.models import METER_LABELS, UseCase
from catalog.rules import METERS
from catalog.selectors import labels
from catalog.selectors.labels import Meant
from catalog.selectors.price_rows import PriceRow
from core import periods
from dashboards.charts.prices import price
from dashboards.selectors import rule_of
from dashboards.templatetags.figures import exact, usd, usd_in_full
from dashboards.templatetags.links import offering_url
from dashboards.views import days
from dashboards.views.access import page
from dashboards.views.entries import event_url, line_of
from dashboards.views.entries_address import read_place
from dashboards.views.price_words import terms_of
from usage.formats.labels import MAX_ID
from usage.models import Status
from usage.rules.worked_out import Part, added
from usage.selectors import moved, stories, story_lines
from usage.selectors.lines import LineRow
from usage.selectors.story_facts import Story, Told, Unknown
from usage.services.once import digest_of

_DIGEST = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Booked:
    """A line of the event, in words."""

    told: Told
    what: str
    why: str
    restatement_url: str
    running: str


@dataclass(frozen=True, kw_only=True)
class Priced:
    """A meter's part of the cost, with the price that it comes from."""

    part: Part
    meter: str
    rate: str  # what is paid per million, in words
    listed_rate: str  # the price itself, before a discount
    amount: str  # every digit
    price: PriceRow | None
    listed: PriceRow | None  # the list price that a contract's own stands beside
    url: str
    terms: str


@page("view")
def event(request: HttpRequest, source: int, digest: str) -> HttpResponse:
    """Show one event. Where nothing is found of it, say how it can be."""
    if source >= 2**63:
        raise Http404("There is no such source.")
    place = read_place(request.GET.get("entry", ""))
    if request.GET.get("entry") and place is None:
        raise Http404("There is no such entry.")
    found = stories.one(source_id=source, digest=bytes.fromhex(digest), place=place)
    if isinstance(found, Unknown):
        if found.source is None:
            raise Http404("There is no such source.")
        return _unknown(request, found, digest)
    told = found.entry or found.first
    context = {
        "story": found,
        "row": told.row,
        "line": line_of(told.row),
        "posting": told.posting,
        "title": _short(found.event_id or digest),
        "booked": _booked(found),
        "priced": _priced(found),
        "total": f"${_all_places(found.worked_out.total_usd)}" if found.worked_out else "",
        # Enough to see that two calls are of the same person, and not who she is.
        "user_hash": _hash_of(told.posting.user_key) if told.posting.user_key else "",
        "meters": _meters(told),
        "agrees": _agrees(found),
        "cache_hit": told.row.status == str(Status.CACHE_HIT.label),
        "difference": _difference(found, told),
        "receipt": found.receipts.get(found.first.posting.receipt_id or 0),
        "rule": rule_of.one(environment=told.row.environment, version=told.row.rules_version, rule=told.row.rule),
        "attempts": [
            {"line": line_of(one.row), "cost": one.cost_usd, "later": one.row.occurred_at > told.row.occurred_at}
            for one in found.attempts
        ],
        "group_cost": _group_cost(found),
        "moved": [
            {"row": one, "by": _in_unit(one.unit, one.by), "used": _in_unit(one.unit, one.used)}
            for one in moved.of(row=told.row, cost_usd=found.cost_usd)
        ]
        if found.summed and found.entry
        else [],
        "context_items": sorted((found.context or {}).items()),
        "tags": sorted(told.row.tags.items()),
        "other_url": _event_url(*found.other) if found.other else "",
        "entries_url": _around(told.row),
    }
    return render(request, "dashboards/event.html", context)


def _hash_of(user: str) -> str:
    """Return a hash with the key of this installation: whoever guesses at a plain one has soon tried all user ids."""
    return salted_hmac("tollkeeper.event.user", user, algorithm="sha256").hexdigest()[:12]


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}\N{HORIZONTAL ELLIPSIS}"


def _event_url(source: int, digest: str) -> str:
    return reverse("event", args=[source, digest])


def _around(row: LineRow) -> str:
    """Return the list of what the use case booked around the event."""
    minutes = timedelta(minutes=15)
    begins, ends = row.place.booked_at - minutes, row.place.booked_at + minutes
    query = {"from": begins.isoformat(), "to": ends.isoformat(), "use_case": row.use_case}
    return f"{reverse('entries')}?{urlencode(query)}"


def _booked(story: Story) -> list[Booked]:
    found = []
    for one in story.lines:
        what = {
            "usage": "Booked" if one is story.first else "Booked anew",
            "reversal": "Taken back",
            "adjustment": "Cost adjusted",
        }[one.row.kind]
        why, url = "", ""
        if one.restatement is not None:
            why = f"{one.restatement.reason or one.restatement.kind.replace('_', ' ')} ({one.restatement.by})"
            url = reverse("restatement", args=[one.restatement.key]) if one.restatement.key else ""
        elif one.row.kind == "reversal":
            why = "Another event took its place, or took it back."
        found.append(
            Booked(
                told=one,
                what=what,
                why=why,
                restatement_url=url,
                running="" if one.running_usd is None else usd_in_full(one.running_usd),
            )
        )
    return found


def _meters(told: Told) -> list[tuple[str, int]]:
    return [
        (METER_LABELS.get(name, name.replace("_", " ")), count)
        for name, count in zip(METERS, told.posting.meters, strict=True)
        if count
    ]


def _priced(story: Story) -> list[Priced]:
    if story.worked_out is None:
        return []
    found = []
    for part in story.worked_out.parts:
        row = story.prices.get(part.price_id)
        listed = story.prices.get(part.list_price_id) if part.list_price_id != part.price_id else None
        url = f"{offering_url(row.offering)}#price-{row.id}" if row and offering_url(row.offering) else ""
        found.append(
            Priced(
                part=part,
                meter=METER_LABELS.get(part.meter, part.meter),
                rate=price(part.paid_per_1m),
                listed_rate=price(part.usd_per_1m),
                amount=f"${_all_places(part.amount_usd)}",
                price=row,
                listed=listed,
                url=url,
                terms=terms_of(row) if row else "",
            )
        )
    return found


def _all_places(amount: Decimal) -> str:
    """Return an amount to the ledger's last place, so that a column of them can be added by hand."""
    return f"{amount:,.18f}"


def _agrees(story: Story) -> bool:
    """Say whether the sum of the parts is what the ledger holds, which it always should be."""
    if story.worked_out is None or story.entry is None:
        return True
    ledger = sum((one.posting.avoided for one in story.lines), 0) if story.entry.row.status == str(
        Status.CACHE_HIT.label
    ) else sum((one.posting.cost or 0 for one in story.lines), 0)  # fmt: skip
    return int(story.worked_out.total_usd.scaleb(18)) == ledger


def _difference(story: Story, told: Told) -> dict[str, Any] | None:
    """Return what the gateway says it cost beside what we say; None where it says nothing."""
    reported = told.row.reported_cost_usd
    if reported is None or story.cost_usd is None:
        return None
    apart = added([story.cost_usd, -reported])
    way = "more" if apart > 0 else "less"
    return {"reported": reported, "apart": apart.copy_abs(), "way": way, "same": apart == 0}


def _group_cost(story: Story) -> Decimal | None:
    costs = [one.cost_usd for one in story.attempts] + [story.cost_usd]
    return None if any(cost is None for cost in costs) else added([cost or Decimal(0) for cost in costs])


def _in_unit(unit: str, amount: Decimal | None) -> str:
    if amount is None:
        return ""
    return usd(amount) if unit == "usd" else f"{exact(amount)} {unit.replace('_', ' ')}"


# --- by its id, and what no id finds any more ---


@page("view")
def events(request: HttpRequest) -> HttpResponse:
    """Find an event by its id; by use case and day where its id is forgotten."""
    text = request.GET.get("id", "").strip()
    digest = request.GET.get("digest", "").strip()
    problems = []
    if len(text) > MAX_ID or "\0" in text:
        problems.append(f"An event's id has {MAX_ID} characters at most.")
    elif text:
        digest = digest_of(text).hex()
    elif digest and not _DIGEST.fullmatch(digest):
        problems.append("This is no digest of an event's id.")
    day = days.read_day(request.GET, "day", problems)
    use_case = _use_case(request.GET.get("use_case", ""), problems)
    if (day is None) != (use_case is None) and not problems:
        problems.append("To look through entries, name both a use case and a day.")
    urls: list[tuple[str, str, str]] = []
    if digest and not problems:
        urls = _found(request, digest, day, use_case)
        if len(urls) == 1:
            return redirect(urls[0][0])
    context = {
        "problems": problems,
        "text": text,
        "digest": digest if not text else "",
        "asked": bool(digest) and not problems,
        "looked": day is not None and use_case is not None,
        "day": day,
        "use_case": use_case,
        "found": urls,
        "names": _names(),
        "kept_days": stories.KEPT_DAYS,
    }
    return render(request, "dashboards/events.html", context, status=400 if problems else 200)


def _found(request: HttpRequest, digest: str, day: date | None, use_case: Meant | None) -> list[tuple[str, str, str]]:
    """Return the events of a digest as (address, gateway, where from)."""
    known = stories.named(digest=bytes.fromhex(digest))
    if known:
        return [
            (_event_url(one.source.id, digest), one.source.gateway, "its stream" if one.source.live else "an import")
            for one in known
        ]
    if day is None or use_case is None:
        return []
    zone = request.organisation.zone  # type: ignore[attr-defined]
    rows = story_lines.find(
        digest=bytes.fromhex(digest),
        use_case_id=use_case.id,
        starts_at=periods.day_start(day, zone),
        ends_at=periods.day_start(day + days.ONE_DAY, zone),
    )
    return [(event_url(row), row.gateway, row.use_case) for row in rows]


def _use_case(text: str, problems: list[str]) -> Meant | None:
    if not text.strip():
        return None
    found = labels.meant("use_case", [text]).get(text)
    if found is None:
        problems.append(f"There is no use case {text[:128]!r}.")
    return found


def _names() -> Sequence[str]:
    return list(UseCase.objects.order_by("name").values_list("name", flat=True)[:300])


def _unknown(request: HttpRequest, found: Unknown, digest: str) -> HttpResponse:
    context = {
        "unknown": found,
        "digest": digest,
        "other_url": _event_url(*found.other) if found.other else "",
        "names": _names(),
        "kept_days": stories.KEPT_DAYS,
        "today": timezone.localdate(),
    }
    return render(request, "dashboards/event_unknown.html", context, status=404)
