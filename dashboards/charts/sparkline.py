"""Days of a budget as small bars, drawn as SVG on the server: no script, and a name for those who do not see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

DAYS = 28
WIDTH, HEIGHT = 112, 28
_STEP = WIDTH // DAYS
_ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Bar:
    x: int
    y: Decimal
    height: Decimal
    kind: str  # "before" the period, "now" in it, "today"


@dataclass(frozen=True, kw_only=True)
class Sparkline:
    """What `_sparkline.html` draws."""

    words: str
    bars: list[Bar]
    even_y: Decimal | None  # where the limit's even pace lies, None where it is far above every day
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def paths(self) -> list[tuple[str, str]]:
        """The bars of each kind as one shape: a page of 500 budgets has 14,000 bars, and a template is slow."""
        shapes: dict[str, str] = {}
        for bar in self.bars:
            shapes[bar.kind] = f"{shapes.get(bar.kind, '')}M{bar.x} {bar.y}h3V{HEIGHT}h-3z"
        return list(shapes.items())


def days_of(
    *,
    days: Mapping[date, Decimal],
    today: date,
    period_from: date,
    even: Decimal | None,
    said: Callable[[Decimal], str],
) -> Sparkline:
    """Draw the last four weeks; `even` is what a day may use if the limit is to last, `said` writes an amount."""
    shown = [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    used = {day: max(days.get(day, _ZERO), _ZERO) for day in shown}
    top_day = max(shown, key=lambda day: used[day])
    # The line of an even pace is no reason to press the days into the ground.
    top = max(used[top_day], even if even is not None and even <= 2 * used[top_day] else _ZERO)
    bars = []
    for place, day in enumerate(shown):
        if not used[day]:
            continue
        height = max((used[day] / top * HEIGHT).quantize(Decimal("0.1")), Decimal("0.8"))
        kind = "today" if day == today else "now" if day >= period_from else "before"
        bars.append(Bar(x=place * _STEP, y=HEIGHT - height, height=height, kind=kind))
    words = f"Last {DAYS} days: nothing was used"
    if used[top_day]:
        over = sum(one > even for day, one in used.items() if day >= period_from) if even is not None else 0
        most = f"most on {top_day.day} {top_day:%B}, {said(used[top_day])}"
        words = f"Last {DAYS} days: {most}; {said(used[today])} today"
        if over:
            words += f"; {over} day{'s' if over > 1 else ''} of this period over the even pace"
    on_scale = even is not None and bool(top) and even <= top
    return Sparkline(
        words=words,
        bars=bars,
        even_y=HEIGHT - (even / top * HEIGHT).quantize(Decimal("0.1")) if on_scale and even is not None else None,
    )
