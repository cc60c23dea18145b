"""The list of entries: every line of the ledger behind a sum, the last booked first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from core import periods
from core.errors import Invalid
from core.models import Organisation
from dashboards.downloads import CSV, DAY, INSTANT, MOST_LINES, NUMBER, TEXT, USD, XLSX, Column, Refused, Table, offers
from dashboards.selectors.spend_names import names
from dashboards.templatetags.figures import exact, usd
from dashboards.templatetags.links import offering_url
from dashboards.views import days
from dashboards.views.access import page
from dashboards.views.entries_address import SWITCHES, TAG, TITLES, State, ask_of, read, written_place
from dashboards.views.links import Link
from usage.models import RollupDay, Status
from usage.selectors import kept, lines
from usage.selectors.lines import LineRow, LinesAsk

PER_PAGE = 50
KINDS = {"usage": "Entries", "reversal": "Reversals", "adjustment": "Adjustments"}
STATUS_WORDS = {str(status.label): str(status.label).replace("_", " ") for status in Status}
_STATUS_TONES = {"ok": "ok", "error": "danger", "blocked": "warning"}
_TEXTS = ("rule", "task", "requested_model", "environment", "reason", "rules_version")


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line as the table shows it."""

    row: LineRow
    url: str
    offering_url: str
    tone: str
    status: str


def event_url(row: LineRow) -> str:
    """Return the address of a line's event, which finds it also when its key is pruned."""
    return f"{reverse('event', args=[row.source_id, row.digest])}?entry={written_place(row.place)}"


def line_of(row: LineRow) -> Line:
    return Line(
        row=row,
        url=event_url(row),
        offering_url=offering_url(row.offering),
        tone=_STATUS_TONES.get(row.status, "neutral"),
        status=STATUS_WORDS[row.status],
    )


def _table(request: HttpRequest) -> Table:
    zone = request.organisation.zone  # type: ignore[attr-defined]
    state, problems = read(request.GET)
    if problems:
        raise Refused(problems)
    ask, full = ask_of(state, zone=zone, today=periods.local_day(timezone.now(), zone))
    return Table(
        name=f"entries-{_file_words(full)}",
        title="Entries",
        columns=[column for column, _ in _COLUMNS],
        rows=_rows(ask),
        facts=[
            ("Range", f"{ask.starts_at.isoformat()} to {ask.ends_at.isoformat()}, the end not included"),
            ("Filters", full.query() or "none"),
            ("Lines", "the last booked first"),
        ],
        longer_than=lambda most: lines.longer_than(ask=ask, most=most),
    )


def _file_words(state: State) -> str:
    def written(edge: date | datetime | None) -> str:
        return f"{edge:%Y%m%dT%H%M}" if isinstance(edge, datetime) else f"{edge}"

    return f"{written(state.first)}-{written(state.last)}"


_COLUMNS: Sequence[tuple[Column, Any]] = (
    (Column("booked_at", INSTANT), lambda row: row.place.booked_at),
    (Column("occurred_at", INSTANT), lambda row: row.occurred_at),
    (Column("kind", TEXT), lambda row: row.kind),
    (Column("event_id", TEXT), lambda row: row.event_id),
    (Column("gateway", TEXT), lambda row: row.gateway),
    (Column("environment", TEXT), lambda row: row.environment),
    (Column("use_case", TEXT), lambda row: row.use_case),
    (Column("team", TEXT), lambda row: row.team),
    (Column("requested_model", TEXT), lambda row: row.requested_model),
    (Column("offering", TEXT), lambda row: row.offering),
    (Column("tier", TEXT), lambda row: row.tier),
    (Column("status", TEXT), lambda row: row.status),
    (Column("requests", NUMBER), lambda row: row.requests),
    (Column("input_tokens", NUMBER), lambda row: row.input_tokens),
    (Column("output_tokens", NUMBER), lambda row: row.output_tokens),
    (Column("cost_usd", USD), lambda row: row.cost_usd),
    (Column("reported_cost_usd", USD), lambda row: row.reported_cost_usd),
    (Column("unpriced", TEXT), lambda row: row.unpriced),
    (Column("latency_ms", NUMBER), lambda row: row.latency_ms),
    (Column("rules_version", NUMBER), lambda row: row.rules_version or None),
    (Column("rule", TEXT), lambda row: row.rule),
    (Column("reason", TEXT), lambda row: row.reason),
    (Column("fallback_index", NUMBER), lambda row: row.fallback_index),
    (Column("call_group", TEXT), lambda row: row.call_group),
    (Column("task", TEXT), lambda row: row.task),
    (Column("correction_of", DAY), lambda row: row.correction_of),
)


def _rows(ask: LinesAsk) -> Iterator[list[Any]]:
    for row in lines.every(ask=ask, most=MOST_LINES[CSV]):
        yield [value(row) for _, value in _COLUMNS]


@page("view")
@offers(_table)
def entries(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    organisation: Organisation = request.organisation  # type: ignore[attr-defined]
    state, problems = read(request.GET)
    ask, full = ask_of(state, zone=organisation.zone, today=periods.local_day(now, organisation.zone))
    found = None
    if not problems:
        try:
            found = lines.page(
                ask=ask, most=PER_PAGE, at=state.after or state.before, newer=state.after is not None
            )  # fmt: skip
        except Invalid as error:
            problems = [sentence for _, sentence in error.problems] or [str(error)]
    context = {
        "problems": problems,
        "state": full,
        "ask": ask,
        "lines": [line_of(row) for row in found.rows] if found else [],
        "found": found,
        "anything": bool(found and found.rows) or RollupDay.objects.exists(),
        "at_top": state.before is None and state.after is None,
        "dropped": kept.listed(found.dropped) if found else "",
        "older_url": full.url(before=found.older) if found and found.older else "",
        "newer_url": full.url(after=found.newer) if found and found.newer else "",
        "newest_url": full.url(),
        "spend_url": f"{reverse('spend')}?{full.spend_query}" if full.spend_query else "",
        "instants": isinstance(full.first, datetime),
        "files_words": f"up to {MOST_LINES[XLSX]:,} as XLSX, up to {MOST_LINES[CSV]:,} as CSV",
        **_controls(full, periods.local_day(now, organisation.zone)),
    }
    return render(request, "dashboards/entries.html", context, status=400 if problems else 200)


def _controls(state: State, today: date) -> dict[str, Any]:
    known = names()
    return {
        "presets": [
            Link(
                id=f"range-{number}",
                title=title,
                url=state.url(first=first, last=last),
                current=(state.first, state.last) == (first, last),
            )
            for number, (title, (first, last)) in enumerate(days.presets(today).items())
        ],
        "chips": list(_chips(state)),
        "clear_url": State(first=state.first, last=state.last).url(),
        "range_words": _range_words(state),
        "names": [
            (name, TITLES[name], [each for each in listed if each not in state.filters.get(name, ())])
            for name, listed in known.items()
        ],
        "texts": [(name, TITLES[name]) for name in _TEXTS],
        "kinds": KINDS.items(),
        "switches": [(name, title) for name, title in SWITCHES.items() if name not in state.switches],
    }


def _range_words(state: State) -> str:
    if isinstance(state.first, datetime) or isinstance(state.last, datetime):
        return ""
    return days.range_words(state.first, state.last) if state.first and state.last else ""


def _chips(state: State) -> Iterator[dict[str, str]]:
    for name, values in state.filters.items():
        title = TITLES.get(name) or f"Tag {name.removeprefix(TAG)}"
        for value in values:
            yield {"what": title, "value": value, "url": state.url(filters=state.without(name, value))}
    if state.kind:
        yield {"what": "Only", "value": KINDS[state.kind].lower(), "url": state.url(kind="")}
    for name in state.switches:
        rest = tuple(each for each in state.switches if each != name)
        yield {"what": "Only", "value": SWITCHES[name].lower(), "url": state.url(switches=rest)}
    if state.min_cost_usd is not None:
        yield {"what": "Cost at least", "value": usd(state.min_cost_usd), "url": state.url(min_cost_usd=None)}
    if state.slower_than_ms is not None:
        value = f"{exact(state.slower_than_ms)} ms"
        yield {"what": "Took at least", "value": value, "url": state.url(slower_than_ms=None)}
