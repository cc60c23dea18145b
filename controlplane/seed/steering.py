"""What the company steers by: its channels, its budgets, the limits that people asked for and planned."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from alerts.models import Channel, Severity
from alerts.services import channels
from budgets.models import Budget, LimitRequest
from budgets.services import budgets, limits, planning, requests
from catalog.models import Team
from controlplane.seed import company, story
from controlplane.seed.story import Plan
from core import periods

FINANCE, APPROVER = f"finance@{company.DOMAIN}", f"approver@{company.DOMAIN}"
WHOLE, AGENT, GROWTH = "Everything", "Coding agent on frontier models", "Growth, all models"
SEARCH = "knowledge-search"
MEI, NOOR = f"mei.tanaka@{company.DOMAIN}", f"noor.aziz@{company.DOMAIN}"


def set_up(plan: Plan, *, founded: datetime, scale: Decimal) -> None:
    """Make channels and budgets as of `founded`, and what people have asked for and planned since.

    `scale` is the story's size, 1 for 200,000 events. Safe to repeat: what is there already stays as it is.
    """
    _channels(founded)
    _budgets(plan, founded, scale)
    _raised_for_a_while(plan)
    _planned(plan)
    _asked(plan)


def _channels(at: datetime) -> None:
    """Make the channels: e-mails, which the demo's mail backend prints. Nothing leaves the machine."""
    engineering = Team.objects.get(name="Engineering")
    common: dict[str, Any] = {"kind": "email", "secret": "", "by": f"platform@{company.DOMAIN}", "at": at}
    known = set(Channel.objects.values_list("name", flat=True))
    if company.CHANNEL not in known:
        channels.create(
            name=company.CHANNEL, config={"recipients": [FINANCE]}, digests=["daily", "weekly"], canary=True, **common
        )
    if company.ON_CALL not in known:
        channels.create(
            name=company.ON_CALL, config={"recipients": [f"on-call@{company.DOMAIN}"]}, teams=[engineering.pk],
            least_severity=Severity.WARNING, **common,
        )  # fmt: skip


def _budgets(plan: Plan, at: datetime, scale: Decimal) -> None:
    """Set limits from what the story will use, so that it reads the same on any day of the month."""
    last, this = plan.months[1], plan.months[2]
    end = plan.days[-1] + timedelta(days=1)
    support = _frontier_tokens(plan, story.SUPPORT, this, end)
    review_last, review = (_frontier_tokens(plan, story.REVIEW, *span) for span in ((last, this), (this, end)))
    agent = max(_frontier_tokens(plan, "coding-agent", *span) for span in ((last, this), (this, end)))
    contracts = max(_frontier_tokens(plan, "contract-analysis", *span) for span in ((last, this), (this, end)))
    common: dict[str, Any] = {"period": "month", "zone": company.ZONE, "by": FINANCE, "at": at}
    # Passed 70 per cent this month and 90 not yet; the next one passed both last month; the others stay below.
    _budget(
        name="Support on frontier models", scope={"use_case": [story.SUPPORT]}, unit="frontier_tokens",
        action="downgrade", amount=_round(support / Decimal("0.77")),
        owner=f"lena.hofmann@{company.DOMAIN}", forecast_thresholds=[100],
        reason="Planned with Customer Care for the year", **common,
    )  # fmt: skip
    _budget(
        name="Code review on Opus", scope={"use_case": [story.REVIEW], "model": ["claude-opus-4.7"]},
        unit="frontier_tokens", action="downgrade",
        amount=_round(max(review_last / Decimal("0.93"), review / Decimal("0.6"))),
        owner=MEI, reason="Planned with Engineering for the year", **common,
    )  # fmt: skip
    _budget(
        name=AGENT, scope={"use_case": ["coding-agent"]}, unit="frontier_tokens",
        action="alert", amount=_round(agent / Decimal("0.62")), owner=MEI,
        reason="First guess, to be reviewed in spring", **common,
    )  # fmt: skip
    _budget(
        name="Contracts on frontier models", scope={"use_case": ["contract-analysis"]}, unit="frontier_tokens",
        action="block", amount=_round(contracts / Decimal("0.56")), owner=f"klara.vogt@{company.DOMAIN}",
        reason="Supplier contracts of one quarter", **common,
    )  # fmt: skip
    _budget(
        name=GROWTH, scope={"team": ["Growth"]}, unit="usd", action="alert",
        amount=_round(company.GROWTH_USD_PER_MONTH * scale), owner=NOOR, forecast_thresholds=[100],
        reason="Marketing's share of the yearly plan", **common,
    )  # fmt: skip
    _budget(
        name=WHOLE, scope={}, unit="usd", action="alert", amount=_round(company.WHOLE_USD_PER_MONTH * scale),
        owner=FINANCE, forecast_thresholds=[90, 100], reason="Yearly plan", **common,
    )  # fmt: skip
    # A ceiling that is tried out since last week: every full week would have been cut off before its end.
    week = [plan.days[-1] - timedelta(days=n) for n in range(1, 8)]
    asked = sum(len(story.of_use_case(plan, SEARCH, day)) for day in week)
    _budget(
        name="Questions to the intranet, a ceiling", scope={"use_case": [SEARCH]}, unit="requests", action="block",
        trial=True, thresholds=[100], amount=_round(Decimal(asked * 45 // 100)), owner=NOOR,
        reason="To see what a ceiling of half a week would have cut off",
        **(common | {"period": "week", "at": plan.now - timedelta(days=9)}),
    )  # fmt: skip


def _budget(*, name: str, **facts: Any) -> None:
    if not Budget.objects.filter(name=name).exists():
        budgets.create(name=name, **facts)


def _frontier_tokens(plan: Plan, use_case: str, first: date, until: date) -> int:
    days = (day for day in plan.days if first <= day < until)
    return sum(story.frontier_tokens(story.of_use_case(plan, use_case, day)) for day in days)


def _round(amount: Decimal) -> Decimal:
    """Round to three digits that count: people write round limits, and the story keeps its per cents."""
    if amount <= 0:
        return Decimal(1000)
    return max(Decimal(1), amount.quantize(Decimal(1).scaleb(amount.adjusted() - 2)))


def _raised_for_a_while(plan: Plan) -> None:
    """Give engineering more for two weeks; they are over by now."""
    agent = Budget.objects.get(name=AGENT)
    if agent.limits.count() > 1:
        return
    at = plan.now - timedelta(days=40)
    limits.set_limit(
        budget=agent, amount=_round(agent.limits.get(version=1).amount * Decimal("1.5")),
        starts_at=at + timedelta(days=1), ends_at=at + timedelta(days=15),
        reason="Moving the old billing code takes the agent two weeks", by=MEI, approved_by=APPROVER, at=at,
    )  # fmt: skip


def _planned(plan: Plan) -> None:
    """Plan the next three months of the whole, each a little higher."""
    whole = Budget.objects.get(name=WHOLE)
    if whole.limits.count() > 1:
        return
    first = whole.limits.get(version=1).amount
    months = [periods.add_months(plan.months[2], n) for n in (1, 2, 3)]
    amounts = {month: _round(first * (1 + Decimal(n) / 20)) for n, month in enumerate(months, start=1)}
    planning.save(
        budget_id=whole.pk, amounts=amounts, reason="Plan of the next quarter: five per cent more each month",
        by=FINANCE, approved_by=FINANCE, at=plan.now - timedelta(days=2),
    )  # fmt: skip


def _asked(plan: Plan) -> None:
    """Have marketing ask for more; nobody has decided yet."""
    growth = Budget.objects.get(name=GROWTH)
    if LimitRequest.objects.filter(budget=growth).exists():
        return
    asked_at = plan.now - timedelta(hours=3)
    requests.ask(
        budget=growth, amount=_round(growth.limits.get(version=1).amount * Decimal("1.25")),
        ends_at=asked_at + timedelta(days=30), reason="The winter campaign goes to two more countries", by=NOOR,
        at=asked_at,
    )  # fmt: skip
