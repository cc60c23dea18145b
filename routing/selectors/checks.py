"""Why a content cannot be submitted: everything that the rules, the catalogue and the use cases' own past say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from core.models import Organisation
from routing.rules import dearness, validation
from routing.rules.conditions import folded
from routing.rules.document import Problem
from routing.selectors import catalogue, exports
from routing.selectors.catalogue import Known
from usage.selectors import mix


def problems(content: Mapping[str, Any], *, at: datetime, environment: str | None = None) -> list[Problem]:
    """Return every reason why a content is refused, by place; empty where it can be submitted.

    With the environment that it is for, also why a gateway that takes that one's rules in a form of its own could not
    be given them. Two queries, one more with an environment, two more where a rule names a most in USD per 1000
    tokens.
    """
    named = catalogue.named_in(content)
    offerings = content.get("offerings")
    if isinstance(offerings, Mapping):
        named |= {name for name in offerings if isinstance(name, str)}
    known = catalogue.known(named, at=at)
    found = validation.validate(content, known)
    if any(problem.code in ("schema", "fraction") for problem in found):
        return found
    found += _too_dear(content, known, at)
    if environment is not None:
        found += exports.not_expressible(content, environment=environment, at=at)
    return found


def _too_dear(content: Mapping[str, Any], known: Known, at: datetime) -> Iterator[Problem]:
    capped = [
        (index, rule) for index, rule in enumerate(content["rules"]) if rule.get("max_usd_per_1k_tokens") is not None
    ]
    if not capped:
        return
    zone = Organisation.objects.values_list("zone", flat=True).get(pk=1)
    mixes = mix.by_use_case(until=at.astimezone(ZoneInfo(zone)).date())
    by_label = {folded(name): (name, one) for name, one in mixes.items()}
    for index, rule in capped:
        most = Decimal(rule["max_usd_per_1k_tokens"])
        labels = rule.get("use_cases")
        wanted = by_label.values() if labels is None else [by_label[x] for x in map(folded, labels) if x in by_label]
        # What it was used for says more than the usual mix, as far as there is a past.
        used = list(wanted) or [("", dearness.USUAL_MIX)]
        for name in sorted(catalogue.named_in({"rules": [rule]})):
            worst = max(
                (
                    (usd, use_case)
                    for use_case, one in used
                    if (usd := dearness.usd_per_1k_tokens(one, known.usd_per_1m.get(name, {}))) is not None
                ),
                default=None,
            )
            if worst is not None and worst[0] > most:
                usd, use_case = worst
                how = f"with the tokens of {use_case} over 30 days" if use_case else "at three tokens in for one out"
                yield Problem(
                    f"/rules/{index}/max_usd_per_1k_tokens",
                    "too_dear",
                    f"{name} costs {usd:.6f} USD per 1,000 tokens {how}, over {most}",
                )
