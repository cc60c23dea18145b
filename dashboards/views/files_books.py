"""What the pages of the books and of the catalogue show, as tables for files: all lines, every digit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from catalog.selectors import proposals
from dashboards.downloads import Table, columns
from dashboards.selectors import attention as attention_of
from dashboards.selectors import catalog, prices, use_cases
from dashboards.views.files_running import by_place
from usage.selectors import chargeback, corrections, months
from usage.selectors.attention import Reason

_AT_ONCE = 500


def paged(ask: Callable[[int], Any]) -> Iterator[Any]:
    """Return the lines of a list that is asked for by the number of its page; `ask` gives `lines` and `found`."""
    number, seen = 1, 0
    while (shown := ask(number)).lines:
        yield from shown.lines
        seen += len(shown.lines)
        if seen >= shown.found:
            return
        number += 1


def offerings(*, at: datetime, zone: str, wanted: catalog.Wanted) -> Table:
    """One query per page of the list."""
    first, until = catalog.spend_days(at=at, zone=zone)
    return Table(
        name="offerings",
        title="Offerings",
        columns=columns(
            "offering", "model", "lab", "provider", "region", "data_class", "tier", "open_weights", "licence",
            "context_tokens", "input_usd", "cache_read_usd", "output_usd", "spend_usd", "spend_share", "requests",
            "unpriced_tokens", "retired", "first_seen_at",
        ),
        rows=(
            [
                row.name, row.model, row.lab, row.provider, row.region, row.data_class, row.tier, row.open_weights,
                row.licence, row.context_tokens, row.input_usd, row.cache_read_usd, row.output_usd, row.cost_usd,
                row.share, row.requests, row.unpriced_tokens, row.retired, row.first_seen_at,
            ]
            for row in paged(lambda number: catalog.offerings(at=at, zone=zone, wanted=wanted, page=number))
        ),
        facts=[
            ("Prices", "USD per million, as in force when the file was made"),
            ("Spend and requests", f"of {first} to the day before {until}"),
        ],
    )  # fmt: skip


def price_book(*, at: datetime, wanted: prices.Wanted, dated: str) -> Table:
    """Two queries per page of the book."""
    return Table(
        name=f"prices-{wanted.dated}",
        title=f"Prices: {dated.lower()}",
        columns=columns(
            "id", "offering", "provider", "meter", "price_usd", "contract", "service_tier", "context_over_tokens",
            "context_inclusive", "region", "hours", "valid_from", "valid_until", "recorded_at", "recorded_until",
            "source", "source_version", "source_url", "entered_by", "approved_by", "note",
        ),
        rows=(
            [
                line.price.id, line.price.offering, line.provider, line.price.meter, line.price.usd_per_1m,
                line.price.contract, line.price.service_tier, line.price.context_over, line.price.context_inclusive,
                line.price.region, line.price.hour_window, line.price.valid_from, line.price.valid_until,
                line.price.recorded_at, line.price.recorded_until, line.price.source, line.price.source_version,
                line.price.source_url, line.price.entered_by, line.price.approved_by, line.price.note,
            ]
            for line in paged(lambda number: prices.book(at=at, wanted=wanted, page=number))
        ),
        facts=[("Prices", "USD per million of the meter"), ("Times", "half-open: an end is not part of what it ends")],
    )  # fmt: skip


def contracts(*, at: datetime) -> Table:
    """What each contract says over time, and what it said before that was replaced. Two queries."""
    return Table(
        name="contracts",
        title="Contracts and their terms",
        columns=columns(
            "id", "contract", "kind", "scope", "discount_per_cent", "own_prices", "valid_from", "valid_until",
            "recorded_at", "recorded_until", "approved_by", "note",
        ),
        rows=(
            [
                row.id, row.name, row.kind, row.scope, terms.discount_percent, row.own_prices, terms.valid_from,
                terms.valid_until, terms.recorded_at, terms.recorded_until, terms.approved_by, terms.note,
            ]
            for row in prices.contracts(at=at)
            for terms in (*row.terms, *row.replaced)
        ),
        facts=[
            ("Own prices", "how many of the contract are in force now; they stand in the file of prices"),
            ("Times", "half-open: an end is not part of what it ends"),
        ],
    )  # fmt: skip


def price_imports() -> Table:
    """One query for 500 readings."""
    return Table(
        name="price-imports",
        title="Tables of prices that were read, newest first",
        columns=columns(
            "id", "source", "version", "file", "digest", "read_at", "read_by", "models", "unread_names", "new",
            "changed", "gone", "disputed", "open", "accepted", "rejected", "replaced",
        ),
        rows=(
            [
                row.id, row.source, row.version, row.file_name, row.digest, row.at, row.by, row.models, row.problems,
                *(row.of_kind(kind) for kind in ("new", "changed", "gone", "disputed")),
                *(row.in_state(state) for state in ("open", "accepted", "rejected", "replaced")),
            ]
            for row in by_place(
                lambda before: proposals.imports(before=before, most=_AT_ONCE), lambda row: row.id
            )
        ),
    )  # fmt: skip


def listed(*, kind: str, at: datetime, zone: str, wanted: use_cases.Wanted) -> Table:
    """Use cases or teams; the queries of a page for each 50 of them."""
    find = use_cases.use_cases if kind == "use_case" else use_cases.teams
    first, until = catalog.spend_days(at=at, zone=zone)
    own = ("title", "team", "owner", "data_class", "baseline") if kind == "use_case" else ("use_cases",)
    return Table(
        name="use-cases" if kind == "use_case" else "teams",
        title="Use cases" if kind == "use_case" else "Teams",
        columns=columns(
            "id", kind, *own, "state", "first_seen_at", "spend_usd", "full_days_usd", "before_usd", "requests",
            "per_1000_requests_usd", "frontier_share", "unpriced_tokens", "budgets_at_risk",
        ),
        rows=(
            [
                row.id, row.name, *(getattr(row, name) for name in own), row.state, row.first_seen_at,
                row.cost_usd if row.known else None, row.comparable_usd if row.known else None, row.before_usd,
                row.requests, row.per_1000_usd, row.frontier_share, row.unpriced_tokens,
                ", ".join(budget.name for budget in row.budgets),
            ]
            for row in paged(lambda number: find(at=at, zone=zone, wanted=wanted, page=number))
        ),
        facts=[
            ("Spend and requests", f"of {first} to the day before {until}"),
            ("Full days and before", "of the days of these that are over, and of as many right before"),
        ],
    )  # fmt: skip


def _months(at: datetime, zone: str) -> Iterator[months.MonthRow]:
    upto: date | None = None
    while True:
        page = months.listed(at=at, zone=zone, upto=upto)
        yield from page.rows
        if page.earlier is None:
            return
        upto = page.earlier


def month_list(*, at: datetime, zone: str) -> Table:
    """A few queries for twelve months each."""
    return Table(
        name="months",
        title="Months, newest first",
        columns=columns(
            "month", "state", "starts_at", "ends_at", "closed_at", "closed_by", "reason", "booked_usd", "own_use_usd",
            "earlier_months_usd", "corrected_later_usd", "priced_share", "requests", "tokens", "unpriced_tokens",
            "uncounted_requests",
        ),
        rows=(
            [
                f"{row.label:%Y-%m}", row.state, row.starts_at, row.ends_at, row.closed_at, row.closed_by, row.reason,
                row.cost_usd, chargeback.plus([row.cost_usd, row.corrections_usd.copy_negate()]), row.corrections_usd,
                row.corrected_usd, row.priced_share, row.requests, row.tokens, row.unpriced_tokens,
                row.uncounted_requests,
            ]
            for row in _months(at, zone)
        ),
    )  # fmt: skip


def restatements(*, states: Sequence[str], title: str) -> Table:
    """One query for 500 of them."""

    def rows() -> Iterator[corrections.CorrectionRow]:
        before = None
        while found := corrections.listed(states=states, before=before, most=_AT_ONCE):
            yield from found
            before = corrections.place(found[-1])

    return Table(
        name="restatements",
        title=f"Restatements: {title.lower()}",
        columns=columns(
            "key", "kind", "summary", "state", "by", "reason", "changed_at", "valid_from", "valid_until", "entries",
            "before_usd", "after_usd", "difference_usd", "unpriced_before_tokens", "unpriced_after_tokens",
            "finished_at", "error",
        ),
        rows=(
            [
                row.key, row.kind, row.summary, row.state, row.by, row.reason, row.at, row.starts_at, row.ends_at,
                row.entries, row.before_usd, row.after_usd, row.difference_usd, row.unpriced_before,
                row.unpriced_after, row.finished_at, row.error,
            ]
            for row in rows()
        ),
    )  # fmt: skip


def attention(*, at: datetime, zone: str, only: str, why: Callable[[Reason], str]) -> Table:
    """One list, or all of them one below the other; a few queries for 25 lines each."""
    lists = (only,) if only else attention_of.LISTS
    return Table(
        name=f"attention-{only}" if only else "attention",
        title="What waits for a person",
        columns=columns(
            "list", "name", "first_day", "last_day", "tokens", "requests", "uncounted_requests", "cost_usd", "why",
            "probably",
        ),
        rows=(row for each in lists for row in _waiting(each, at, zone, why)),
    )  # fmt: skip


def _waiting(only: str, at: datetime, zone: str, why: Callable[[Reason], str]) -> Iterator[list[Any]]:
    number = 1
    while found := list(_of_page(attention_of.page(at=at, zone=zone, only=only, number=number), why)):
        yield from ([only, *line] for line in found)
        if len(found) < attention_of.PER_PAGE:
            return
        number += 1


def _of_page(page: attention_of.Page, why: Callable[[Reason], str]) -> Iterable[list[Any]]:
    for line in (*page.unpriced, *page.uncounted):
        reasons = ", ".join(map(why, line.reasons))
        yield [line.name, line.first_day, line.last_day, line.tokens, line.requests, line.uncounted, None, reasons, ""]
    for one in (*page.names, *page.use_cases, *page.teams):
        row, probably = one.row, one.suggestion.name if one.suggestion else ""
        yield [row.name, one.since, row.last_day, row.tokens, row.requests, None, None, "", probably]
    for model in page.unclassified:
        yield [model.name, None, None, model.tokens, model.requests, None, model.cost_usd, "no tier", ""]
