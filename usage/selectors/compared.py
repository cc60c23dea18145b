"""What is known of statement and ledger once they are set beside each other: measures, rows, reasons, and the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, localcontext

from usage.selectors.spend import Sums
from usage.selectors.statements import COST, Coverage, Figure, Figures

USUAL_TOLERANCE = Decimal(1)  # per cent
CENT = Decimal("0.01")
AGREES, APART, THEIRS_ONLY, OURS_ONLY, NOT_COMPARED = "agrees", "apart", "theirs-only", "ours-only", "not-compared"
STATES = (AGREES, APART, THEIRS_ONLY, OURS_ONLY, NOT_COMPARED)
BY = ("model", "day")
# What a state is judged by. Requests that failed are counted by some providers and not by others; what was cached is a
# part of input, and of cost.
JUDGED = ("input_tokens", "output_tokens", COST)
DIGITS = 80  # sums have more of them than a Decimal context keeps


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One measure of both sides; None is "not told" or "not compared", never 0."""

    theirs: Figure | None
    ours: Figure | None

    @property
    def difference(self) -> Figure | None:
        """Return how much more we say; negative where it is less."""
        if self.theirs is None or self.ours is None:
            return None
        with localcontext() as context:
            context.prec = DIGITS
            return self.ours - self.theirs

    @property
    def share(self) -> Decimal | None:
        """Return the difference as a share of what the provider says; None where that is nothing."""
        if not self.theirs or self.difference is None:
            return None
        with localcontext() as context:
            context.prec = DIGITS
            return Decimal(self.difference) / abs(Decimal(self.theirs))

    def apart(self, tolerance: Decimal) -> bool:
        """Say whether the two differ by more than a tolerance in per cent; of money, by more than a cent, too."""
        difference = self.difference
        if not difference or self.theirs is None:
            return False
        with localcontext() as context:
            context.prec = DIGITS
            if isinstance(difference, Decimal) and abs(difference) <= CENT:
                return False
            return abs(Decimal(difference)) * 100 > tolerance * abs(Decimal(self.theirs))


NOT_TOLD = Pair(theirs=None, ours=None)


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why two sides may differ: a code for programs, a sentence for people. Empty names mean all of them."""

    code: str
    text: str
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Both sides of a model at a provider, or of one of its days."""

    provider: str
    model: str  # ours, or the provider's where we know none; empty: what the statement gives to no model
    offering: str  # where one of ours is meant
    day: date | None
    figures: Mapping[str, Pair]
    names: Sequence[str]  # what the provider calls it
    suggestion: str  # the offering that an unknown name probably means
    list_cost_usd: Decimal | None
    reasons: Sequence[Reason]
    state: str

    @property
    def tokens(self) -> Pair:
        """Return input and output together."""
        return Pair(theirs=_both(self.figures, "theirs"), ours=_both(self.figures, "ours"))


def _both(figures: Mapping[str, Pair], side: str) -> Figure | None:
    parts = [getattr(figures[name], side) for name in ("input_tokens", "output_tokens")]
    return None if None in parts else sum(parts)


@dataclass(frozen=True, kw_only=True)
class Reconciliation:
    """Rows with the greatest difference of cost, else of tokens, first; days in their order. `total` sums them."""

    first: date
    last: date
    tolerance: Decimal
    by: str
    coverage: Sequence[Coverage]
    rows: Sequence[Row]
    total: Mapping[str, Pair]
    state: str
    reasons: Sequence[Reason]  # of no single row


@dataclass
class Cell:
    """Both sides of a provider's model on a day while they are put together."""

    theirs: Figures = field(default_factory=dict)
    ours: Figures = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    offering: str = ""
    sums: Sums = field(default_factory=Sums)


Cells = dict[tuple[str, str, date], Cell]


def sum_of(values: Sequence[Figure | None]) -> Figure | None:
    given = [value for value in values if value is not None]
    with localcontext() as context:
        context.prec = DIGITS
        return sum(given[1:], given[0]) if given else None
