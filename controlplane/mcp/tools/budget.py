"""`check_budget`: what is left for a use case, and whether a model may be used now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Context, Decimal

from pydantic import Field

from budgets import rules as budget_rules
from budgets import wording
from budgets.rules import FRONTIER, FRONTIER_TOKENS, UNCLASSIFIED, Definition
from budgets.selectors import definitions, overview
from budgets.selectors.overview import BUILDING, BudgetRow
from controlplane.mcp import names, standing
from controlplane.mcp.asking import Gives, Takes, Tier, Tool, instant, written
from core.access import Caller
from core.errors import Invalid
from routing.selectors import catalogue
from usage.selectors import freshness

_ANY = "any model of the tier"
_WIDE = Context(prec=60)  # amounts have more digits than a Decimal context's usual 28


class CheckBudget(Takes):
    use_case: str = Field(description="The use case that the calls are for, such as support-routing.")
    model: str | None = Field(
        default=None,
        description="The model you would call: its name (gpt-5.5), an offering (gpt-5.5@openai), or a gateway's name.",
    )
    tier: Tier | None = Field(default=None, description="Instead of a model: any model of this price tier.")
    team: str | None = Field(default=None, description="The team that calls, where it is not the use case's own.")
    environment: str | None = Field(default=None, description="Whose rules; the key's own environment, if not given.")


class ForecastGiven(Gives):
    """Where the present pace leads, as the console shows it; rounded to two places."""

    per_day: str = Field(description="The mean of the days expected, in the budget's unit.")
    at_end: str = Field(description="What will be used when the period ends, at this pace, in the budget's unit.")
    low: str | None = Field(description="Eight of ten periods end between low and high; null: its days are not summed.")
    high: str | None
    runs_out_on: str | None = Field(description="Day in the budget's zone on which the limit is reached; null: lasts.")


class BudgetGiven(Gives):
    id: int
    name: str
    scope: dict[str, list[str]] = Field(description="What it counts: all of these at once. Empty: everything.")
    certain: bool = Field(
        description="False: it counts only a part (such as one model, a gateway or a tag) that you did not name, so "
        "it may or may not apply to your call."
    )
    unit: str = Field(description="What amounts are counted in: frontier_tokens, tokens, usd or requests.")
    period: str = Field(description="day, week, month, quarter or year; nothing is carried over.")
    period_start: str
    period_end: str = Field(description="The limit is whole again from this instant on.")
    limit: str | None = Field(description="In the unit; null: no limit is in force now.")
    used: str = Field(description="In this period, in the unit.")
    left: str | None = Field(description="Limit less used, never under 0; null without a limit, or while it is summed.")
    per_cent_used: str | None = Field(
        description="Of the limit, rounded down; null without a limit, or while it is summed."
    )
    per_cent_gone: str = Field(description="Of the period. More used than gone means that it runs ahead.")
    forecast: ForecastGiven | None = Field(description="Null before three full days of use.")
    state: str = Field(description="OK, WARN or ALERT (thresholds are passed), EXCEEDED, or BUILDING: not summed yet.")
    enforced: bool = Field(description="It is exceeded, and gateways are held to it.")
    at_limit: str = Field(description="What happens at the limit, or happens now that it is reached.")


class BudgetChecked(Gives):
    use_case: str = Field(description="As the catalogue has it.")
    team: str | None
    model: str | None = Field(
        description="The offering (model@provider) that was looked at; null where none was named."
    )
    tier: str | None = Field(description="The price tier that was looked at; null: of no tier, or none was named.")
    allowed: bool | None = Field(
        description="Whether gateways let such a call through now; null where neither model nor tier was named. An "
        "alert-only or trial budget never forbids."
    )
    against: str | None = Field(description="What stands against it, where it is not allowed.")
    summary: str = Field(description="All of it in a sentence or two.")
    budgets: list[BudgetGiven] = Field(description="Those that count such calls, the fullest first.")
    as_of: str
    complete_through: str | None = Field(description="All usage received before is counted in.")


def check(asked: CheckBudget, caller: Caller, at: datetime) -> BudgetChecked:
    """Eighteen queries, some more after a change of budgets, or where a name is somebody's alias."""
    if asked.model is not None and asked.tier is not None:
        raise Invalid("Name a model or a tier, not both: a model has its tier.")
    use_case = names.one("use_case", asked.use_case)
    team = names.team_of(use_case, at=at) if asked.team is None else names.one("team", asked.team)
    environment = names.environment(asked.environment, caller)
    offering, facts = None, None
    if asked.model is not None:
        offering = names.offering(asked.model, at=at)
        facts = catalogue.known([offering], at=at).as_written(offering)
    elif asked.tier is not None:
        facts = {"model": _ANY, "provider": _ANY, "tier": asked.tier}
    tier = None if facts is None else facts.get("tier")

    rows = overview.rows(at=at)
    values: dict[str, str | None] = {"use_case": use_case, "team": team}
    if offering is not None and facts is not None:
        values |= {"offering": offering, "model": facts["model"], "provider": facts["provider"]}
    if facts is not None:
        values["tier"] = tier or UNCLASSIFIED
    known = definitions.current().by_id
    counting = [
        _given(row, known[row.id], certain=certain, at=at)
        for row in rows
        if row.id in known and (certain := _counts(row, values)) is not None
    ]
    counting.sort(key=lambda one: (not one.certain, -Decimal(one.per_cent_used or 0), one.name))

    objection, allowed = None, None
    if facts is not None:
        name = offering or _ANY
        context = {"use_case": use_case, "team": team}
        called = standing.names_of((row.id, row.name) for row in rows)
        told = standing.against({name: facts}, context=context, environment=environment, budgets=called, at=at)
        objection = told[name]
        allowed = objection is None
    return BudgetChecked(
        use_case=use_case,
        team=team,
        model=offering,
        tier=tier,
        allowed=allowed,
        against=objection,
        summary=_summary(offering or (asked.tier and f"A {asked.tier} model"), use_case, objection, counting),
        budgets=counting,
        as_of=instant(at) or "",
        complete_through=instant(freshness.complete_through(at=at)),
    )


def _counts(row: BudgetRow, values: Mapping[str, str | None]) -> bool | None:
    """Say whether a budget counts such calls: True, False for "perhaps" (it names what nobody said), None for no."""
    certain = True
    scope = dict(row.scope)
    if row.unit == FRONTIER_TOKENS:
        # As `budgets.rules.concerns`: whatever its scope says about tiers, it looks at frontier and unclassified.
        scope["tier"] = (FRONTIER, UNCLASSIFIED)
    for dimension, wanted in scope.items():
        if dimension not in values:
            certain = False
        elif values[dimension] not in wanted:
            return None
    return certain


def _given(row: BudgetRow, definition: Definition, *, certain: bool, at: datetime) -> BudgetGiven:
    summed = row.state != BUILDING
    left = None
    if row.limit is not None and summed:
        left = max(budget_rules.add(row.limit, -row.used), Decimal(0))
    forecast = row.forecast
    return BudgetGiven(
        id=row.id,
        name=row.name,
        scope={dimension: list(wanted) for dimension, wanted in row.scope.items()},
        certain=certain,
        unit=row.unit,
        period=row.period_kind,
        period_start=instant(row.period.starts_at) or "",
        period_end=instant(row.period.ends_at) or "",
        limit=written(row.limit),
        used=written(row.used) or "0",
        left=written(left),
        per_cent_used=written(row.per_cent_used),
        per_cent_gone=written(row.per_cent_gone) or "0",
        forecast=None
        if forecast is None
        else ForecastGiven(
            per_day=_rounded(forecast.per_day),
            at_end=_rounded(forecast.at_end),
            low=None if forecast.low is None else _rounded(forecast.low),
            high=None if forecast.high is None else _rounded(forecast.high),
            runs_out_on=forecast.runs_out_on.isoformat() if forecast.runs_out_on else None,
        ),
        state=row.state,
        enforced=row.enforced,
        at_limit=wording.at_the_limit(definition, row.period, reached=row.state == "EXCEEDED"),
    )


def _rounded(value: Decimal) -> str:
    return written(value.quantize(Decimal("0.01"), context=_WIDE)) or "0"


def _summary(subject: str | None, use_case: str, objection: str | None, counting: list[BudgetGiven]) -> str:
    found = []
    if objection is not None:
        found.append(f"{subject} may not be used for {use_case} now: {objection}.")
    elif subject:
        found.append(f"{subject} may be used for {use_case} now.")
    fullest = next((one for one in counting if one.per_cent_used is not None), None)
    if fullest is not None:
        found.append(
            f"Of {fullest.name!r} {fullest.per_cent_used} % is used, {fullest.per_cent_gone} % of the "
            f"{fullest.period} is gone."
        )
    elif not counting:
        found.append("No budget counts such calls.")
    return " ".join(found) or "Budgets count such calls, and none has a limit now."


TOOL = Tool(
    name="check_budget",
    title="Check a budget",
    description=(
        "What is left of the budgets that count calls of a use case, and whether a model (or a price tier) may be used "
        "for it now. Gives each budget's limit, use, per cent used and per cent of the period gone, the forecast, and "
        "what happens at the limit. Amounts are decimal strings in the budget's own unit: USD, tokens, frontier tokens "
        "(tokens of frontier models alone) or requests. It reserves nothing: others spend meanwhile."
    ),
    action="view",
    takes=CheckBudget,
    gives=BudgetChecked,
    answer=check,
)
