"""Orders of rules by score: what they are now, and what they would be made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from core import periods
from core.models import Organisation
from routing.models import Environment, Order
from routing.rules import dearness, scoring
from routing.rules.conditions import folded
from routing.rules.scoring import Measured, Scored, Weights
from routing.selectors import catalogue
from usage.rules.latencies import HIGH, MEDIAN
from usage.selectors import mix, recent

WINDOW = timedelta(hours=6)  # that latency and errors are taken from
_PRICE_PLACES = Decimal("1E-12")


@dataclass(frozen=True, kw_only=True)
class TargetRow:
    """A target of a rule by score with what its score was made of. Points and scores are of 10000."""

    offering: str
    usd_per_1k_tokens: Decimal | None  # at list prices and the mix of tokens of the rule's use cases
    p50_ms: int | None  # None: too few calls
    p95_ms: int | None
    calls: int  # of the last six hours, answered or failed
    failed: int
    price: int
    latency: int
    errors: int
    score: int


@dataclass(frozen=True, kw_only=True)
class OrderRow:
    """The order of a rule's targets as gateways get it."""

    rule: str  # its id, or `default`
    weights: Weights
    targets: Sequence[TargetRow]  # the one tried first, first
    computed_at: datetime
    moved_at: datetime  # since when this has been the order


def rows(*, environment: str) -> list[OrderRow]:
    """Return the orders of an environment, by rule. One query."""
    found = Order.objects.filter(environment__name=environment).order_by("rule")
    return [
        OrderRow(
            rule=one.rule,
            weights=weights_kept(one),
            targets=[_target_row(name, one.scores["offerings"][name]) for name in one.order],
            computed_at=one.computed_at,
            moved_at=one.moved_at,
        )
        for one in found
    ]


def told(*, environment: str) -> dict[str, list[str]]:
    """Return the orders of an environment by rule, as documents have them. One query."""
    return dict(Order.objects.filter(environment__name=environment).values_list("rule", "order"))


def scored(*, environment: Environment, content: Mapping[str, Any], at: datetime) -> dict[str, list[Scored]]:
    """Return what the targets of each rule by score come to, by rule. Five queries, none where no rule is by score.

    Prices are list prices at `at`, at the tokens of the rule's use cases in the last 30 days (three in for one out
    where they had none). Latency and errors are those in this environment in the last six hours, whoever sent them.
    """
    parts = scoring.by_score(content)
    if not parts:
        return {}
    names = sorted({target["offering"] for part in parts.values() for target in part["targets"]})
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    mixes = {folded(name): one for name, one in mix.by_use_case(until=periods.local_day(at, zone)).items()}
    usd_per_1m = catalogue.known(names, at=at).usd_per_1m
    did = recent.offerings(environment=environment.name, names=names, starts_at=at - WINDOW, ends_at=at)
    found: dict[str, list[Scored]] = {}
    for rule, part in parts.items():
        labels = part.get("use_cases")
        wanted = mixes.values() if labels is None else [mixes[one] for one in map(folded, labels) if one in mixes]
        tokens = _added(wanted) or dearness.USUAL_MIX
        targets = [target["offering"] for target in part["targets"]]
        measured = {
            name: _measured(dearness.usd_per_1k_tokens(tokens, usd_per_1m.get(name, {})), did.get(name))
            for name in targets
        }
        found[rule] = scoring.scored(targets, measured, scoring.weights_of(part))
    return found


def kept_of(rows: Sequence[Scored], weights: Weights) -> dict[str, Any]:
    """Return what an `Order` keeps of scores, for people: whole numbers and decimal strings."""
    return {
        "weights": weights._asdict(),
        "targets": [one.offering for one in rows],
        "offerings": {
            one.offering: {
                "usd_per_1k_tokens": _written(one.measured.usd_per_1k_tokens),
                "p50_ms": one.measured.p50_ms,
                "p95_ms": one.measured.p95_ms,
                "calls": one.measured.calls,
                "failed": one.measured.failed,
                "price": one.price,
                "latency": one.latency,
                "errors": one.errors,
                "score": one.score,
            }
            for one in rows
        },
    }


def weights_kept(order: Order) -> Weights:
    return Weights(**order.scores["weights"])


def _measured(usd_per_1k_tokens: Decimal | None, did: recent.Recent | None) -> Measured:
    if did is None:
        return Measured(usd_per_1k_tokens=usd_per_1k_tokens)
    return Measured(
        usd_per_1k_tokens=usd_per_1k_tokens,
        calls=did.calls,
        failed=did.failed,
        p50_ms=scoring.percentile_ms(did.latencies, MEDIAN),
        p95_ms=scoring.percentile_ms(did.latencies, HIGH),
    )


def _added(mixes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in mixes:
        for meter, count in one.items():
            total[meter] = total.get(meter, 0) + count
    return total


def _written(usd: Decimal | None) -> str | None:
    return None if usd is None else f"{usd.quantize(_PRICE_PLACES).normalize():f}"


def _target_row(name: str, kept: Mapping[str, Any]) -> TargetRow:
    usd = kept["usd_per_1k_tokens"]
    return TargetRow(offering=name, **{**kept, "usd_per_1k_tokens": None if usd is None else Decimal(usd)})
