"""REST for a month's statement: what it charges to teams and use cases."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.selectors import labels
from core.api import FIRST_YEAR, LAST_YEAR, BadQuery, InstantField, MoneyField
from core.api_views import Api
from core.errors import NotFound
from dashboards.selectors import statement as selector
from dashboards.selectors.statement import Line, Statement
from dashboards.selectors.statement_budgets import BudgetLine
from usage.api_months import MonthField
from usage.selectors import chargeback
from usage.selectors.chargeback import Sums
from usage.selectors.months import CLOSED, OPEN, RUNNING

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
_COUNTS = tuple(name for name in chargeback.MEASURES if name != "cost_usd")


class ChargedOutput(serializers.Serializer):
    """Meters are disjoint: cached input is beside uncached input here, and both are in `GET spend`'s `input_tokens`."""

    def get_fields(self) -> dict[str, Any]:
        counts = {name: serializers.IntegerField() for name in _COUNTS}
        return {"cost_usd": MoneyField()} | counts


class ChargedLineOutput(serializers.Serializer):
    own = ChargedOutput(help_text="Calls of the month.")
    adjustments = ChargedOutput(help_text="What came late for months that were closed.")
    booked = ChargedOutput(help_text="Both together: what `GET spend` says of the month.")
    frontier_share = MoneyField(allow_null=True, help_text="Of own requests that were answered.")
    priced_share = MoneyField(allow_null=True, help_text="Booked tokens that have a price over booked tokens.")
    compared_usd = MoneyField(help_text="Own use of the days that are compared: all, or the full days so far.")
    before_usd = MoneyField(help_text="Own use of as many days of the month before, or all of it.")


class ChargedNamedLineOutput(ChargedLineOutput):
    id = serializers.IntegerField()
    name = serializers.CharField()


class ChargedTeamOutput(ChargedNamedLineOutput):
    use_cases = ChargedNamedLineOutput(many=True)


class ChargedModelLineOutput(ChargedLineOutput):
    model = serializers.CharField()
    tier = serializers.CharField()


class ChargedReasonOutput(serializers.Serializer):
    correction = serializers.CharField(help_text="Of `GET corrections/{key}`.")
    summary = serializers.CharField()
    reason = serializers.CharField()
    by = serializers.CharField()
    at = InstantField()


class ChargedAdjustmentOutput(serializers.Serializer):
    month = MonthField(help_text="The closed month.")
    charged = ChargedOutput()
    reasons = ChargedReasonOutput(many=True)


class ChargedLaterOutput(serializers.Serializer):
    booked_in = MonthField()
    cost_usd = MoneyField()
    requests = serializers.IntegerField()


class ChargedUnpricedOutput(serializers.Serializer):
    offering = serializers.CharField()
    tokens = serializers.IntegerField()
    requests = serializers.IntegerField()


class ChargedBudgetOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    unit = serializers.CharField()
    period_kind = serializers.CharField()
    zone = serializers.CharField()
    period_start = InstantField()
    period_end = InstantField()
    used = MoneyField(allow_null=True, help_text="In the unit; null while it is being counted.")
    limit = MoneyField(allow_null=True)
    per_cent_used = MoneyField(allow_null=True)
    periods = serializers.IntegerField(help_text="That touch the month; the fullest one is told.")
    exceeded = serializers.IntegerField(help_text="Of these periods, those in which the limit was reached.")


class MonthStatementOutput(serializers.Serializer):
    month = MonthField()
    starts_at = InstantField()
    ends_at = InstantField()
    zone = serializers.CharField()
    state = serializers.ChoiceField([RUNNING, OPEN, CLOSED], help_text="`closed`: nothing in it changes any more.")
    closed_at = InstantField(allow_null=True)
    complete_through = InstantField(allow_null=True)
    team = serializers.CharField(allow_null=True)
    use_case = serializers.CharField(allow_null=True)
    total = ChargedLineOutput()
    teams = ChargedTeamOutput(many=True)
    models = ChargedModelLineOutput(many=True)
    adjustments = ChargedAdjustmentOutput(many=True)
    corrected_later = ChargedLaterOutput(many=True, help_text="Came late for this month and is charged in later ones.")
    unpriced = ChargedUnpricedOutput(many=True)
    budgets = ChargedBudgetOutput(many=True)


class MonthStatementApi(Api):
    """The statement of a month."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(serializers.Serializer):
        team = serializers.CharField(required=False, help_text="Only what this team is charged.")
        use_case = serializers.CharField(required=False, help_text="Only what this use case is charged.")

    @extend_schema(
        summary="What a month charges to teams and use cases", operation_id="months_statement", tags=["months"],
        responses=MonthStatementOutput,
        description="Own use of the month and adjustments of earlier months, apart; together they are what was booked "
        "in it, to the last decimal. By team, use case, model and tier. Ask by team or by use case, not by both.",
    )  # fmt: skip
    def get(self, request: Request, month: str) -> Response:
        if "team" in self.query and "use_case" in self.query:
            raise BadQuery("Ask for a team or for a use case.", [("use_case", "not together with `team`")])
        found = selector.of_month(
            month=_label(month),
            at=timezone.now(),
            team_id=_named("team", self.query.get("team")),
            use_case_id=_named("use_case", self.query.get("use_case")),
        )
        return Response(MonthStatementOutput(_told(found)).data)


def _label(text: str) -> date:
    """Return the month that an address names.

    Raises:
        NotFound: it is none.
    """
    match = _MONTH.fullmatch(text)
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise NotFound("There is no such month; months are written 2026-10.")
    return date(int(match[1]), int(match[2]), 1)


def _named(parameter: str, name: str | None) -> int | None:
    """Return the id of what this name means, whatever its case; None where none is asked for.

    Raises:
        BadQuery: nothing is called so. To answer 0 for a slip in a name would say that nothing is charged.
    """
    if name is None:
        return None
    found = labels.id_of(parameter, name)
    if found is None:
        what = parameter.replace("_", " ")
        raise BadQuery(f"There is no {what} {name!r}.", [(parameter, f"no such {what}")])
    return found


def _told(found: Statement) -> dict[str, Any]:
    scope = found.scope
    return {
        **{
            name: getattr(found, name)
            for name in ("month", "starts_at", "ends_at", "zone", "state", "closed_at", "complete_through", "unpriced")
        },
        "team": scope.name if scope.kind == "team" else None,
        "use_case": scope.name if scope.kind == "use_case" else None,
        "total": _line(found.total),
        "teams": [
            _named_line(part.line) | {"use_cases": [_named_line(line) for line in part.use_cases]}
            for part in found.teams
        ],
        "models": [_line(line) | {"model": line.name, "tier": line.tier} for line in found.models],
        "adjustments": [
            {
                "month": one.month,
                "charged": one.sums,
                "reasons": [
                    {
                        "correction": why.key,
                        "summary": why.summary,
                        "reason": why.reason,
                        "by": why.by,
                        "at": why.at,
                    }
                    for why in one.reasons
                ],
            }
            for one in found.adjustments
        ],
        "corrected_later": [_later(month, sums) for month, sums in found.corrected_later.items()],
        "budgets": [_budget(row) for row in found.budgets],
    }


def _later(month: Any, sums: Sums) -> dict[str, Any]:
    return {"booked_in": month, "cost_usd": sums.cost_usd, "requests": sums.requests}


def _line(line: Line) -> dict[str, Any]:
    booked = line.booked
    return {
        "own": line.own,
        "adjustments": line.adjusted,
        "booked": booked,
        "frontier_share": line.own.frontier_share,
        "priced_share": booked.priced_share,
        "compared_usd": line.comparable_usd,
        "before_usd": line.before_usd,
    }


def _named_line(line: Line) -> dict[str, Any]:
    return _line(line) | {"id": line.id, "name": line.name}


def _budget(row: BudgetLine) -> dict[str, Any]:
    names = ("id", "name", "unit", "period_kind", "zone", "used", "limit", "per_cent_used", "periods", "exceeded")
    period = {"period_start": row.period.starts_at, "period_end": row.period.ends_at}
    return {name: getattr(row, name) for name in names} | period
