"""What the pages of budgets, alerts, gateways and rules show, as tables for files: all lines, every digit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from alerts.selectors.alerts import AlertRow
from alerts.selectors.deliveries import Told
from budgets.selectors import requests as limit_requests
from budgets.selectors.overview import BudgetRow
from core import periods
from dashboards.downloads import INSTANT, NUMBER, USD, Column, Table, columns
from dashboards.selectors.alerts import Names
from dashboards.selectors.gateways import GatewayRow
from routing.selectors import fleet as fleet_of
from routing.selectors import versions

_AT_ONCE = 500


def after(ask: Callable[[Any], Any]) -> Iterator[Any]:
    """Return the rows of a list that is asked for by where the page before it ended."""
    before = None
    while True:
        page = ask(before)
        yield from page.rows
        if page.next_before is None:
            return
        before = page.next_before


def by_place(ask: Callable[[Any], Sequence[Any]], place: Callable[[Any], Any]) -> Iterator[Any]:
    """Return the rows of a list that is asked for by the place of the last row seen; None at its beginning."""
    before = None
    while found := ask(before):
        yield from found
        before = place(found[-1])


def scope_words(scope: Mapping[str, tuple[str, ...]]) -> str:
    return "; ".join(f"{name}={'|'.join(values)}" for name, values in scope.items()) or "everything"


def budgets(rows: Iterable[BudgetRow], *, title: str) -> Table:
    return Table(
        name="budgets",
        title=title,
        columns=[
            *columns("id", "budget", "scope", "unit", "period", "first_day", "last_day", "zone"),
            # In its unit, so that money has every digit.
            Column("limit", USD), Column("used", USD), Column("used_per_cent", NUMBER), Column("gone_per_cent", NUMBER),
            Column("expected_at_end", USD),
            *columns("runs_out_on", "state", "enforced", "action", "trial", "owner"),
        ],
        rows=(
            [
                row.id, row.name, scope_words(row.scope), row.unit, row.period_kind, row.period.first_day,
                periods.last_day(row.period, row.zone), row.zone, row.limit,
                None if row.state == "BUILDING" else row.used, row.per_cent_used, row.per_cent_gone,
                row.forecast.at_end if row.forecast else None, row.forecast.runs_out_on if row.forecast else None,
                row.state.lower(), row.enforced, row.action, row.trial, row.owner,
            ]
            for row in rows
        ),
        facts=[("Amounts", "in the budget's unit; a period counts in the budget's own zone")],
    )  # fmt: skip


def requests_of_limits(*, at: datetime) -> Table:
    """One query for 500 requests."""
    return Table(
        name="limit-requests",
        title="Requests of limits, newest first",
        columns=[
            *columns("id", "budget", "unit"), Column("amount", USD),
            *columns("starts_at", "ends_at", "reason", "state", "requested_by", "requested_at", "decided_by"),
            *columns("decided_at", "note"), Column("limit_version", NUMBER),
        ],
        rows=(
            [
                row.id, row.budget_name, row.unit, row.amount, row.starts_at, row.ends_at, row.reason, row.state,
                row.requested_by, row.requested_at, row.decided_by, row.decided_at, row.note, row.limit_version,
            ]
            for row in by_place(
                lambda before: limit_requests.newest(at=at, before=before, most=_AT_ONCE), lambda row: row.id
            )
        ),
        facts=[("Amounts", "in the budget's unit; without times a limit holds from its approval on, and for good")],
    )  # fmt: skip


def alerts(rows: Iterable[AlertRow], names: Names) -> Table:
    def line(row: AlertRow) -> list[Any]:
        sent = [one for one in row.deliveries if one.delivered_at]
        return [
            row.id, row.created_at, row.severity_label, row.kind, row.title, row.state, row.acknowledged_at,
            row.acknowledged_by, row.snoozed_until, row.resolved_at,
            names.budgets.get(row.budget_id, "") if row.budget_id else "",
            ", ".join(names.teams[team] for team in row.team_ids if team in names.teams),
            ", ".join(dict.fromkeys(one.channel for one in sent)),
            min((one.delivered_at for one in sent if one.delivered_at), default=None),
            ", ".join(f"{one.channel or 'nobody'}: {one.reason}" for one in row.deliveries if one.state == "failed"),
        ]  # fmt: skip

    return Table(
        name="alerts",
        title="Alerts, newest first",
        columns=columns(
            "id", "raised_at", "severity", "kind", "title", "state", "acknowledged_at", "acknowledged_by",
            "snoozed_until", "resolved_at", "budget", "teams", "told", "first_told_at", "failed",
        ),
        rows=map(line, rows),
    )  # fmt: skip


def deliveries(rows: Iterable[Told]) -> Table:
    return Table(
        name="deliveries",
        title="Deliveries, newest first",
        columns=[
            *columns("id", "alert", "title", "kind", "severity", "raised_at", "channel", "channel_kind", "state"),
            *columns("reason", "answer", "attempts", "delivered_at"),
            Column("took_seconds", NUMBER),
            *columns("possibly_repeated"),
        ],
        rows=(
            [
                one.delivery.id, one.alert_id, one.title, one.kind, one.severity_label, one.raised_at,
                one.delivery.channel or "nobody", one.delivery.channel_kind, one.delivery.state, one.delivery.reason,
                one.delivery.answer, one.delivery.attempts, one.delivery.delivered_at,
                round(one.took.total_seconds()) if one.took else None, one.delivery.possibly_repeated,
            ]
            for one in rows
        ),
    )  # fmt: skip


def gateways(rows: Iterable[GatewayRow]) -> Table:
    def line(row: GatewayRow) -> list[Any]:
        heard = row.received
        return [
            row.id, row.name, row.kind, row.accounting_format, row.created_at, row.retired_at,
            heard.last_received_at if heard else None, heard.events_hour if heard else 0,
            heard.events_day if heard else 0, row.requests, heard.waiting_events if heard else 0,
            heard.set_aside if heard else 0, row.silent_alert is not None, len(row.keys),
            ", ".join(f"{one.environment}: {one.version or 0} of {one.live_version or 0}" for one in row.rules),
        ]  # fmt: skip

    return Table(
        name="gateways",
        title="Gateways",
        columns=columns(
            "id", "gateway", "kind", "format", "made_at", "retired_at", "last_received_at", "events_of_an_hour",
            "events_of_a_day", "booked_requests", "waiting_events", "bodies_set_aside", "silent", "working_keys",
            "rules_versions",
        ),
        rows=map(line, rows),
        facts=[("Booked requests", "of the last 24 hours")],
    )  # fmt: skip


def fleet(*, environment: str, at: datetime) -> Table:
    """Every instance, and every gateway that never asked; one query for 500 instances."""

    def rows() -> Iterator[list[Any]]:
        for one in by_place(
            lambda after: fleet_of.instances(at=at, environment=environment, after=after, limit=_AT_ONCE),
            lambda row: (row.gateway_id, row.name),
        ):
            yield [
                one.gateway, one.name, one.state, one.version, one.revision, one.given_version, one.given_revision,
                one.late_since, one.refused_version, one.refused_reason, one.polled_at, one.spec, one.client,
            ]  # fmt: skip
        found = fleet_of.of(environment=environment, at=at)
        for rest, state in ((found.never, "never asked"), (found.not_polling, "does not poll")):
            yield from ([one.gateway, "", state, *[None] * 10] for one in rest)

    return Table(
        name=f"fleet-{environment}",
        title=f"Who runs which rules of {environment}",
        columns=[
            *columns("gateway", "instance", "state", "version", "revision", "given_version", "given_revision"),
            Column("late_since", INSTANT), *columns("refused_version", "refused_because", "last_asked_at"),
            *columns("specification", "client"),
        ],
        rows=rows(),
    )  # fmt: skip


def history(environment: str) -> Table:
    """One query for 500 versions."""

    def rows() -> Iterator[versions.VersionRow]:
        before = None
        while found := versions.newest(environment=environment, limit=_AT_ONCE, before=before):
            yield from found
            before = found[-1].number

    return Table(
        name=f"rules-{environment}",
        title=f"Versions of the rules of {environment}, newest first",
        columns=columns(
            "version", "base", "title", "reason", "published_at", "published_by", "approved_by", "rolls_back_to",
            "sha256", "in_force",
        ),
        rows=(
            [
                row.number, row.base, row.title, row.reason, row.published_at, row.published_by, row.approved_by,
                row.rolls_back_to, row.sha256, row.live,
            ]
            for row in rows()
        ),
    )  # fmt: skip


def switched(rows: Iterable[list[Any]], names: list[str]) -> Table:
    return Table(name="switches", title="Switches, newest first", columns=columns(*names), rows=rows)
