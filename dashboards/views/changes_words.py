"""What changed most, in words: one sentence per use case, and the page that shows its days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

from django.urls import reverse

from dashboards.change_words import told_usd
from dashboards.templatetags.figures import percent
from usage.selectors.bridge import Bridge, Days, UseCaseChange

MOVERS = 3
_ALSO = Decimal("0.25")  # of the change: what is said besides what drove it most


@dataclass(frozen=True, kw_only=True)
class Mover:
    """A use case whose spend changed much: `why` completes the sentence."""

    use_case: str
    change_usd: Decimal
    said: str
    why: str
    url: str


def movers(bridge: Bridge, most: int = MOVERS) -> list[Mover]:
    """Return the use cases that changed most; those that changed by less than a cent are none."""
    moved = [one for one in bridge.use_cases if abs(one.change_usd) >= Decimal("0.01")]
    return [mover(one, bridge.after) for one in moved[:most]]


def mover(one: UseCaseChange, days: Days) -> Mover:
    return Mover(
        use_case=one.use_case,
        change_usd=one.change_usd,
        said=_said(one),
        why=why(one),
        url=spend_url(days, by="model", use_case=one.use_case),
    )


def spend_url(days: Days, *, by: str, **filters: str) -> str:
    """Return the explorer's address for some days, both included there."""
    query = {"from": days.first.isoformat(), "to": days.last.isoformat(), "by": by, **filters}
    return f"{reverse('spend')}?{urlencode(query)}"


def _said(one: UseCaseChange) -> str:
    words = told_usd(one.change_usd)
    if one.before_usd > 0 and one.after_usd > 0:
        words += f" ({percent(abs(one.change_usd) / one.before_usd)})"
    return words


def why(one: UseCaseChange) -> str:
    """Say what drove a change: what moved it most in its own direction, and what else did by a quarter of it."""
    if one.new_usd:
        return "it was not used before"
    if one.gone_usd:
        return "it is not used any more"
    sign = 1 if one.change_usd > 0 else -1
    drivers = [
        (one.requests_usd * sign, _requests(one)),
        (one.models_usd * sign, _models(one)),
        (one.tokens_usd * sign, f"{'more' if one.tokens_usd > 0 else 'fewer'} or {_other(one)} tokens per call"),
        (one.price_usd * sign, f"{'higher' if one.price_usd > 0 else 'lower'} prices"),
    ]
    drivers = sorted((pair for pair in drivers if pair[0] > 0), key=lambda pair: -pair[0])
    if not drivers:
        return "nothing that could be told apart"
    told = [words for amount, words in drivers[:1]]
    told += [words for amount, words in drivers[1:2] if amount >= abs(one.change_usd) * _ALSO]
    return ", and ".join(told)


def _other(one: UseCaseChange) -> str:
    return "dearer" if one.tokens_usd > 0 else "cheaper"


def _requests(one: UseCaseChange) -> str:
    if one.before_requests <= 0:
        return "more requests"
    change = Decimal(one.after_requests - one.before_requests) / one.before_requests
    return f"{percent(abs(change))} {'more' if change > 0 else 'fewer'} requests"


def _models(one: UseCaseChange) -> str:
    words = f"{'dearer' if one.models_usd > 0 else 'cheaper'} models"
    moved: Sequence[str] = [
        f"{direction} {name}" for direction, name in (("more", one.more_of), ("less", one.less_of)) if name
    ]
    return f"{words} ({', '.join(moved)})" if moved else words
