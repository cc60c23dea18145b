"""`suggest_model`: what the rules would choose now, and what among them is cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from pydantic import Field

from budgets.models import Budget
from controlplane.mcp import asking, names, standing
from controlplane.mcp.asking import Gives, Takes, Tool, instant, written
from controlplane.mcp.tools.decision import DecisionGiven, given
from core import periods
from core.access import Caller
from core.models import Organisation
from routing.rules import dearness, scoring
from routing.rules.validation import OfferingFacts
from routing.selectors import catalogue, deciding, versions
from routing.selectors.orders import WINDOW
from usage.rules.latencies import HIGH, MEDIAN
from usage.selectors import mix, recent
from usage.selectors.recent import Recent

MOST = 10
_HOURS = int(WINDOW.total_seconds()) // 3600
_PLACES = Decimal("1E-12")
_HONEST = (
    "By rules and list prices. Nothing here measures how good the answers are: a cheaper model may do the work worse. "
    "Try it on requests of your own first."
)


class SuggestModel(Takes):
    use_case: str = Field(description="The use case that the calls are for, such as support-routing.")
    task: str | None = Field(default=None, description="Kind of work, such as code, summarisation, extraction.")
    complexity: str | float | None = Field(default=None, description="From 0 to 1, such as 0.75.")
    team: str | None = Field(default=None, description="The team that calls, where it is not the use case's own.")
    context: dict[str, Any] = Field(
        default_factory=dict,
        description="What else rules may read of the request, such as {'user_tier': 'paid', 'input_tokens': 12000, "
        "'data_class': 'personal', 'region': 'eu'}.",
    )
    environment: str | None = Field(default=None, description="Whose rules; the key's own environment, if not given.")


class ModelGiven(Gives):
    offering: str = Field(description="model@provider")
    model: str
    provider: str
    tier: str | None
    region: str
    usd_per_1m: dict[str, str] = Field(
        description="List price by meter (uncached_input, output, cache_read, ...), USD per million tokens."
    )
    usd_per_1k_tokens: str | None = Field(
        description="USD per 1,000 tokens of the mix that `mix` names; null: not known."
    )
    per_cent_cheaper: str | None = Field(description="Than what the rules choose; null where either is not known.")
    in_rule: bool = Field(
        description="The rule that matches, or the default, names it itself: somebody meant it for such requests."
    )
    allowed: bool = Field(description="No budget and no switch stands against it now for this request.")
    against: str | None = Field(description="What stands against it.")
    calls: int = Field(description=f"That reached it in this environment in the last {_HOURS} hours.")
    failed: int = Field(description="Of these calls.")
    median_ms: int | None = Field(description="Latency of those answered, milliseconds; null: too few calls to say.")
    p95_ms: int | None = Field(description="95 of 100 were quicker, milliseconds; null: too few calls to say.")


class Suggested(Gives):
    use_case: str
    environment: str
    decision: DecisionGiven = Field(
        description="What the rules in force do with such a request; explain_decision has the steps."
    )
    chosen: ModelGiven | None = Field(description="What they choose; null: the request is blocked.")
    cheaper: list[ModelGiven] = Field(
        description="Cheaper offerings that these rules know and that may have the use case's data: those that the "
        "rule for such requests names first, then the cheapest. `allowed` says which of them may be used now."
    )
    left_out: list[str] = Field(
        description="Cheaper offerings that may not have this data (class or region), or are retired."
    )
    mix: str = Field(description="The mix of tokens that prices were compared at.")
    note: str
    as_of: str


def suggest(asked: SuggestModel, caller: Caller, at: datetime) -> Suggested:
    """Sixteen queries, some more after a change, or where a name is somebody's alias."""
    use_case = names.one("use_case", asked.use_case)
    team = names.team_of(use_case, at=at) if asked.team is None else names.one("team", asked.team)
    environment = names.environment(asked.environment, caller)
    said = {"task": asked.task, "complexity": asked.complexity}
    context = asking.as_rules_read({
        **asked.context, "use_case": use_case, "team": team,
        **{name: value for name, value in said.items() if value is not None},
    })  # fmt: skip
    decision = deciding.live(environment=environment, context=context, at=at)
    content = versions.content_of(environment=environment, number=decision.version)
    listed = sorted(content["offerings"])

    known = catalogue.known(listed, at=at)
    tokens, of_what = _mix(use_case, at)
    did = recent.offerings(environment=environment, names=listed, starts_at=at - WINDOW, ends_at=at)
    budgets = standing.names_of(Budget.objects.values_list("id", "name"))
    against = standing.against(
        content["offerings"], context=context, environment=environment, budgets=budgets, at=at
    )  # fmt: skip
    prices = {name: dearness.usd_per_1k_tokens(tokens, known.usd_per_1m.get(name, {})) for name in listed}
    chosen_at = prices.get(decision.offering or "")
    rule = [one for one in content["rules"] if one["id"] == decision.rule]
    meant = catalogue.named_in({"rules": rule, "default": content["default"]})
    cheaper = sorted(
        (name not in meant, price, name)
        for name, price in prices.items()
        if price is not None and chosen_at is not None and price < chosen_at
    )
    unfit = {name for *_, name in cheaper if not _fits(known.offering(name), known.classes.get(use_case), context)}

    def told(name: str) -> ModelGiven:
        less = None if name == decision.offering else _less(prices[name], chosen_at)
        return _given(
            name, content["offerings"][name], known.usd_per_1m.get(name, {}), price=prices[name], less=less,
            in_rule=name in meant, against=against[name], did=did.get(name),
        )  # fmt: skip

    return Suggested(
        use_case=use_case,
        environment=environment,
        decision=given(decision, budgets, stepwise=False),
        chosen=None if decision.offering is None else told(decision.offering),
        cheaper=[told(name) for *_, name in cheaper if name not in unfit][:MOST],
        left_out=[name for *_, name in cheaper if name in unfit][:MOST],
        mix=of_what,
        note=_HONEST,
        as_of=instant(at) or "",
    )


def _mix(use_case: str, at: datetime) -> tuple[Mapping[str, int], str]:
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    found = mix.by_use_case(until=periods.local_day(at, zone), names=[use_case]).get(use_case)
    if found is None:
        return dearness.USUAL_MIX, "Three tokens in for one out: this use case had no calls in the 30 days before."
    return found, f"The use case's own tokens of the last {mix.DAYS} days."


def _fits(facts: OfferingFacts | None, data_class: str | None, context: Mapping[str, Any]) -> bool:
    """Say whether an offering may have the data of a request, as rules are checked before publication."""
    if facts is None or facts.retired:
        return False
    may_have = {part.strip() for part in facts.data_class.split(",")}
    wanted = {one for one in (data_class, context.get("data_class")) if one}
    region = context.get("region")
    near = not region or facts.region == region or facts.region.startswith(f"{region}-")
    return wanted <= may_have and near


def _less(price: Decimal | None, chosen_at: Decimal | None) -> Decimal | None:
    """Return how much cheaper a price is, in per cent with one place, rounded down."""
    if price is None or not chosen_at:
        return None
    return ((chosen_at - price) / chosen_at * 100).quantize(Decimal("0.1"), rounding=ROUND_DOWN)


def _given(
    name: str,
    facts: Mapping[str, Any],
    usd_per_1m: Mapping[str, Decimal],
    *,
    price: Decimal | None,
    less: Decimal | None,
    in_rule: bool,
    against: str | None,
    did: Recent | None,
) -> ModelGiven:
    def percentile(which: int) -> int | None:
        return None if did is None else scoring.percentile_ms(did.latencies, which)

    return ModelGiven(
        offering=name,
        model=facts["model"],
        provider=facts["provider"],
        tier=facts.get("tier"),
        region=facts.get("region") or "",
        usd_per_1m={meter: written(usd) or "0" for meter, usd in sorted(usd_per_1m.items())},
        usd_per_1k_tokens=None if price is None else written(price.quantize(_PLACES)),
        per_cent_cheaper=written(less),
        in_rule=in_rule,
        allowed=against is None,
        against=against,
        calls=0 if did is None else did.calls,
        failed=0 if did is None else did.failed,
        median_ms=percentile(MEDIAN),
        p95_ms=percentile(HIGH),
    )


TOOL = Tool(
    name="suggest_model",
    title="Suggest a model",
    description=(
        "Which model the routing rules choose for a use case now, with its list price in USD, and cheaper models among "
        "those that the rules know, with their prices, and latency and failures as measured in the last six hours. It "
        "goes by rules and prices, not by quality: it does not know how well a model does the work."
    ),
    action="view",
    takes=SuggestModel,
    gives=Suggested,
    answer=suggest,
)
