"""How far a budget can be used beyond its limit, by what was measured: the time until gateways know, times the rate.

# Note [The bound]
A control plane beside the requests cannot stop one that is under way. From the call that uses up a limit until a
gateway holds its next call to it, four times pass, and each gateway has its own:

reports    from the oldest call of a body until the body came in; 95 of 100 of its last bodies were quicker
booking    from then until it was booked, and with it the crossing; the same of the same bodies
publishing until the state is published: looked for every 250 ms and there within a second, which the tests hold it to
polls      until the gateway asks again: none where its polls wait for news, else its longest pause of late

Their sum times what the gateway uses (in the last full hour, or in the mean hour of the last day where that is more) is
what it can use beyond the limit at the present rate; what all of them can is the sum. A burst, or a call that is long
under way, uses more. A gateway that does not ask for rules is held to nothing, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from budgets.rules import Definition
from budgets.selectors.overview import BudgetRow
from routing.selectors import pauses
from usage.selectors import drivers, freshness

PUBLISHED_WITHIN_S = 1.0
_HOUR_S = 3600


@dataclass(frozen=True, kw_only=True)
class GatewayBound:
    """What one gateway can use beyond a limit, in the budget's unit. Times are seconds, None: not measured."""

    gateway: str
    per_hour: Decimal
    reports_s: float | None
    booking_s: float | None
    pause_s: float | None
    asks: bool  # for rules, within 24 hours
    silent: int  # instances that were not heard of for five minutes: they learn of it when they come back

    @property
    def delay_s(self) -> float | None:
        parts = (self.reports_s, self.booking_s, self.pause_s)
        return None if None in parts else sum((one for one in parts if one is not None), PUBLISHED_WITHIN_S)

    @property
    def amount(self) -> Decimal | None:
        """What it uses in that time; None where the time is not known, or has no end."""
        return None if self.delay_s is None else self.per_hour * Decimal(f"{self.delay_s:.3f}") / _HOUR_S


@dataclass(frozen=True, kw_only=True)
class Overshoot:
    """How far a budget can be used beyond its limit, and by how much it is; see Note [The bound]."""

    gateways: Sequence[GatewayBound]  # that used it within a day, the fastest first
    limit: Decimal | None
    so_far: Decimal | None  # what was used beyond the limit in this period; None where it is not used up

    @property
    def per_hour(self) -> Decimal:
        return _sum(one.per_hour for one in self.gateways)

    @property
    def amount(self) -> Decimal:
        """What the gateways whose times are known can use beyond the limit, together."""
        return _sum(one.amount for one in self.gateways if one.amount is not None)

    @property
    def share(self) -> Decimal | None:
        """The same as a share of the limit."""
        return self.amount / self.limit if self.limit else None

    @property
    def share_so_far(self) -> Decimal | None:
        return self.so_far / self.limit if self.limit and self.so_far is not None else None

    @property
    def held_to_nothing(self) -> list[str]:
        """Gateways that do not ask for rules: no limit reaches them."""
        return [one.gateway for one in self.gateways if not one.asks]

    @property
    def not_measured(self) -> list[str]:
        """Gateways that ask, and of which a time is not known yet."""
        return [one.gateway for one in self.gateways if one.asks and one.delay_s is None]


def bound(*, definition: Definition, row: BudgetRow, at: datetime) -> Overshoot | None:
    """Return how far a budget can be used beyond its limit; None where there is no limit or nothing is known yet.

    Three queries.
    """
    if row.limit is None or row.state in ("BUILDING", "RETIRED"):
        return None
    streams = {one.gateway: one for one in freshness.gateways(at=at)}
    asking = pauses.of_gateways(at=at)
    found = []
    for pace in drivers.pace(definition, at):
        stream, pause = streams.get(pace.gateway), asking.get(pace.gateway)
        found.append(
            GatewayBound(
                gateway=pace.gateway,
                per_hour=pace.per_hour,
                reports_s=stream.lag.p95_s if stream and stream.lag else None,
                booking_s=stream.booking.p95_s if stream and stream.booking else None,
                pause_s=pause.longest_s if pause else None,
                asks=pause is not None,
                silent=pause.silent if pause else 0,
            )
        )
    return Overshoot(gateways=found, limit=row.limit, so_far=row.used - row.limit if row.used >= row.limit else None)


def _sum(values: Iterable[Decimal]) -> Decimal:
    with localcontext() as context:
        context.prec = 80  # sums have more digits than the default context keeps
        return sum(values, Decimal(0))
