"""What can be asked of lines of the ledger, and the conditions that it comes to.

# Note [Calls that count]
`unpriced`, `fallback`, `min_cost_usd` and `slower_than_ms` ask about calls. They pass entries that were not taken back,
and no reversal or adjustment. What a call costs is what the books of its own month say: with the adjustments that were
booked where it was, without those that came late for a closed month. So the sums of a quarter hour in which no call
counts that cost as much are less than that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.errors import Invalid
from usage.models import EntryKind
from usage.rules.postings import LATENCY_BOUNDS_MS
from usage.selectors.spend_ask import DIMENSIONS_KEPT, SpendAsk, tag_name
from usage.selectors.spend_ask import check as check_spend
from usage.selectors.spend_names import wanted as wanted_of_names

KINDS = {str(kind.label): int(kind) for kind in EntryKind}
FILTERS = tuple(DIMENSIONS_KEPT)  # and tag:NAME
_LATE = "coalesce((extract(year FROM l.correction_of) * 100 + extract(month FROM l.correction_of))::int, 0)"


@dataclass(frozen=True, kw_only=True)
class LinesAsk:
    """Lines booked in [starts_at, ends_at) that pass every filter. A filter passes whatever has one of its values.

    The empty text stands for "none". `zone` is the organisation's; `aside` asks for shadow and audit entries instead,
    which are in no total.
    """

    starts_at: datetime
    ends_at: datetime
    zone: str
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of FILTERS, and tag:NAME
    kind: str = ""  # one of KINDS
    unpriced: bool = False
    fallback: bool = False
    min_cost_usd: Decimal | None = None
    slower_than_ms: int | None = None  # that long or longer
    aside: bool = False

    @property
    def about_calls(self) -> bool:
        """Whether only entries that count are asked for. See Note [Calls that count]."""
        return bool(self.unpriced or self.fallback or self.min_cost_usd is not None or self.slower_than_ms is not None)

    @property
    def tags(self) -> list[str]:
        return [tag for tag in map(tag_name, self.filters) if tag]

    @property
    def as_spend(self) -> SpendAsk:
        """Return what `GET spend` is asked with the same names."""
        return SpendAsk(starts_at=self.starts_at, ends_at=self.ends_at, zone=self.zone, filters=self.filters)

    @property
    def told_by_sums(self) -> bool:
        """Whether sums can tell where something passes. See Note [Looked so far] in `lines`."""
        return not (self.aside or self.tags or self.kind or self.about_calls)

    @property
    def hinted(self) -> bool:
        """Whether sums can at least tell where nothing does."""
        return not (self.aside or self.tags or self.kind not in ("", "usage"))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Conditions on rows of sums and on lines, with their values; texts of the question are never SQL."""

    sums: str
    lines: str
    given: dict[str, Any]


def check(*, ask: LinesAsk) -> None:
    """Look at everything that can be seen without the database.

    Raises:
        Invalid: with all that is wrong.
    """
    check_spend(ask=ask.as_spend)
    problems: list[tuple[str, str]] = []
    if ask.kind and ask.kind not in KINDS:
        problems.append(("kind", f"There is no kind {ask.kind!r}: {', '.join(KINDS)}."))
    elif ask.kind not in ("", "usage") and ask.about_calls:
        problems.append(("kind", "Price, fallback, least cost and latency are asked of usage alone."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)


def conditions(ask: LinesAsk) -> Wanted:
    """Return the filters as conditions; names become ids here. One query per filter that names rows of the catalogue.

    Raises:
        Invalid: as `check`; a value names nothing.
    """
    check(ask=ask)
    given: dict[str, Any] = {}
    sums = wanted_of_names(ask.as_spend, given, {})
    lines = [
        "l." + each.removeprefix("r.")
        if not each.startswith("r.correction_of ")
        else each.replace("r.correction_of", _LATE)
        for each in sums
    ]
    for number, tag in enumerate(ask.tags):
        given |= {f"tag_{number}": tag, f"values_{number}": list(ask.filters[f"tag:{tag}"])}
        lines.append(f"coalesce(l.tags ->> %(tag_{number})s, '') = ANY(%(values_{number})s)")
    hints = []
    if ask.kind:
        lines.append("l.kind = %(kind)s")
        given["kind"] = KINDS[ask.kind]
    if ask.unpriced:
        lines.append("l.unpriced > 0")
        hints.append("r.unpriced_requests <> 0 OR r.unpriced_tokens <> 0")
    if ask.fallback:
        lines.append("(l.fallback_index <> 0 OR l.reason = 'fallback')")
        hints.append("r.fallback_requests <> 0 OR r.reason = 'fallback'")
    if ask.min_cost_usd is not None:
        lines.append(
            "l.cost_usd + (SELECT coalesce(sum(c.cost_usd), 0) FROM ledger c WHERE c.corrects_id = l.id AND c.kind = 3 "
            "AND c.use_case_id = l.use_case_id AND c.booked_at = l.booked_at) >= %(min_cost)s"
            if not ask.aside
            else "l.cost_usd >= %(min_cost)s"
        )
        hints.append("r.cost_usd >= %(min_cost)s")
        given["min_cost"] = ask.min_cost_usd
    if ask.slower_than_ms is not None:
        lines.append("l.latency_ms >= %(slow)s")
        given["slow"] = ask.slower_than_ms
        buckets = range(bisect_left(LATENCY_BOUNDS_MS, ask.slower_than_ms) + 1, len(LATENCY_BOUNDS_MS) + 2)
        hints.append(" OR ".join(f"r.latency_histogram[{bucket}] <> 0" for bucket in buckets))
    # In a bucket of corrections, one that was taken back may hide one that was not: there, the sums are no hint.
    sums += [f"(r.correction_of <> 0 OR {hint})" for hint in hints]
    if ask.about_calls:
        lines.append("l.kind = 1")
        if not ask.aside:
            lines.append(
                "NOT EXISTS (SELECT FROM ledger c WHERE c.corrects_id = l.id AND c.kind = 2 "
                "AND c.use_case_id = l.use_case_id AND c.booked_at >= l.booked_at)"
            )
    return Wanted(
        sums=" AND ".join(["true", *sums]), lines=" AND ".join(["true", *lines]), given=given
    )  # fmt: skip
