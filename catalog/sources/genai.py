"""The open price data of the installed genai-prices package, read into quotes.

# Note [What genai-prices leaves unsaid]
Its calculation charges what has no price of its own with the price of what contains it: a cache read as input, a cache
write of one hour as a cache write, audio as text. A quote says so outright, with the context tiers of what it inherits.
A price for a service tier replaces single meters of the standard prices; our rating never falls back from a tier to the
standard one, so a tier is quoted with every meter. Before the first price of a tier nothing is quoted for it: that the
table knows nothing does not mean that it cost the standard price.

Peak hours have no date there and are charged for all of the past, too. They are quoted from the last dated price before
them in the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

import genai_prices
from genai_prices import data_snapshot, types

from catalog.sources import providers, series
from catalog.sources.quotes import Quote, QuotedHours, Table, UnreadableTable

SOURCE = "genai-prices"

# What each meter is charged with: the first of these that has a price. See Note [What genai-prices leaves unsaid].
_CHARGED_AS = {
    "uncached_input": ("input_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "audio_input": ("input_audio_mtok", "input_mtok"),
    "audio_output": ("output_audio_mtok", "output_mtok"),
    "image_input": ("input_image_mtok", "input_mtok"),
    "image_output": ("output_image_mtok", "output_mtok"),
    "requests": ("requests_kcount",),
    "web_searches": ("web_searches_kcount",),
}
_KNOWN = frozenset(key for keys in _CHARGED_AS.values() for key in keys)
_PER_THOUSAND = frozenset({"requests_kcount", "web_searches_kcount"})

# Which request context is which service tier; the empty one is the standard tier.
_TIERS = {
    ("processing", "batch"): "batch",
    ("service_tier", "default"): "",
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "fast",
    ("speed", "fast"): "fast",
}
_MOST = 10**9  # USD per million
_EVERY_DAY = tuple(range(7))

_Prices = Mapping[str, Decimal | types.TieredPrices]


@dataclass(frozen=True, slots=True)
class _Step:
    """What a meter costs from a context limit on; the first has none."""

    over: int | None
    inclusive: bool
    usd_per_1m: Decimal


_Card = dict[str, tuple[_Step, ...]]


def read() -> Table:
    """Read the prices of the installed package.

    Raises:
        UnreadableTable: it has no models, or a price that is none.
    """
    return of(data_snapshot.get_snapshot().providers, version=genai_prices.__version__)


def of(listed: Sequence[types.Provider], *, version: str) -> Table:
    """Read providers as genai-prices describes them, as `read` does."""
    quotes: list[Quote] = []
    problems: list[tuple[str, str]] = []
    count = 0
    for provider in listed:
        ours = providers.of_genai(provider.id)
        url = provider.pricing_urls[0][:500] if provider.pricing_urls else ""
        for model in provider.models:
            count += 1
            name = providers.genai_model(provider.id, model.id)
            of_model = _Model(ours, name, model, url)
            found = series.joined(of_model.quotes())
            reasons = of_model.problems
            if not found:
                reasons.append("no price that a meter here could have")
            if reasons:
                problems.append((f"{name}@{ours}", "; ".join(reasons)))
            quotes += found
    if not count:
        raise UnreadableTable("genai-prices names no model.")
    return Table(
        source=SOURCE,
        version=version,
        digest=series.digest_of(quotes),
        quotes=tuple(quotes),
        problems=tuple(problems),
        models=count,
    )


class _Model:
    """One model of a provider: what it costs when, for which service tier; and what of it has no place here."""

    def __init__(self, provider: str, name: str, model: types.ModelInfo, url: str) -> None:
        self.provider, self.name, self.model, self.url = provider, name, model, url
        self.listed: list[types.ConditionalPrice] = (
            model.prices if isinstance(model.prices, list) else [types.ConditionalPrice(prices=model.prices)]
        )
        self.problems: list[str] = []
        self.variants = self._tiers()
        self._without_a_meter()

    def quotes(self) -> Iterator[Quote]:
        """Give the quotes of every service tier, cut at every date at which any price begins."""
        if not self.listed:
            return
        dates: list[date | None] = [None, *sorted(self._dates())]
        for start, end in zip(dates, [*dates[1:], None], strict=True):
            standard, peaks = self._in_force(start)
            yield from self._of_time("", {}, standard, peaks, start, end)
            for tier, variants in self.variants.items():
                overrides: dict[str, Decimal | types.TieredPrices] = {}
                holding = [one for one in variants if _holds(one.constraint, start)]
                for variant in holding:
                    for key, price in _prices(variant.prices).items():
                        overrides.setdefault(key, price)
                if holding:
                    yield from self._of_time(tier, overrides, standard, peaks, start, end)

    def _tiers(self) -> dict[str, list[types.PriceVariant]]:
        """Sort variants by service tier, and note those whose context is none."""
        found: dict[str, list[types.PriceVariant]] = {}
        contexts: dict[str, set[tuple[str, str]]] = {}
        for variant in self.model.price_variants or ():
            context = " and ".join(f"{key} {value}" for key, value in sorted(variant.when.items()))
            (first, *others) = variant.when.items()
            tier = None if others else _TIERS.get(first)
            if isinstance(variant.constraint, types.TimeOfDateConstraint):
                self._note(f"hours of {context} are not read")
            elif tier is None:
                self._note(f"no service tier is known for {context}")
            elif tier:
                found.setdefault(tier, []).append(variant)
                contexts.setdefault(tier, set()).add(first)
            elif _prices(variant.prices):
                self._note(f"{context} has prices of its own, beside the standard ones")
        for tier in [tier for tier, ways in contexts.items() if len(ways) > 1]:
            del found[tier]
            self._note(f"the tier {tier} is named in two ways")
        return found

    def _without_a_meter(self) -> None:
        """Note what is priced apart and not counted here."""
        priced = [one.prices for one in (*self.listed, *(self.model.price_variants or ()))]
        unknown = {
            key for prices in priced for key, price in _prices(prices).items() if key not in _KNOWN and price != 0
        }
        if unknown:
            self._note(f"no meter for {', '.join(sorted(unknown))}")

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def _dates(self) -> set[date]:
        dated = (one.constraint for one in (*self.listed, *(self.model.price_variants or ())))
        return {one.start_date for one in dated if isinstance(one, types.StartDateConstraint)}

    def _in_force(self, day: date | None) -> tuple[_Prices, list[tuple[QuotedHours, _Prices]]]:
        """Return the prices from a day on, and those of hours: only hours that are listed after them."""
        base = 0  # their calculation takes the first where none holds yet
        for index, one in enumerate(self.listed):
            if _holds(one.constraint, day):
                base = index
        peaks = []
        before = 0
        for index, one in enumerate(self.listed):
            hours = one.constraint
            if not isinstance(hours, types.TimeOfDateConstraint):
                before = index
            elif before == base and index != base and hours.start_time != hours.end_time:
                window = QuotedHours("UTC", _EVERY_DAY, _utc(hours.start_time), _utc(hours.end_time))
                peaks.append((window, _prices(one.prices)))
        return _prices(self.listed[base].prices), peaks

    def _of_time(
        self,
        tier: str,
        overrides: _Prices,
        standard: _Prices,
        peaks: Sequence[tuple[QuotedHours, _Prices]],
        start: date | None,
        end: date | None,
    ) -> Iterator[Quote]:
        card = self._card({**standard, **overrides})
        yield from self._quoted(card, tier, None, start, end)
        in_hours = [(hours, self._card({**prices, **overrides})) for hours, prices in peaks]
        # Where hours overlap the later ones hold, so all of them say what any of them changes.
        changed = {meter for _, one in in_hours for meter, steps in one.items() if card.get(meter) != steps}
        for hours, one in in_hours:
            yield from self._quoted({m: steps for m, steps in one.items() if m in changed}, tier, hours, start, end)

    def _quoted(
        self, card: _Card, tier: str, hours: QuotedHours | None, start: date | None, end: date | None
    ) -> Iterator[Quote]:
        for meter, steps in card.items():
            for step in steps:
                price, note = series.fitted(step.usd_per_1m)
                yield Quote(
                    provider=self.provider,
                    model=self.name,
                    meter=meter,
                    usd_per_1m=price,
                    valid_from=_midnight(start),
                    valid_until=_midnight(end),
                    context_over=step.over,
                    context_inclusive=step.inclusive,
                    service_tier=tier,
                    hours=hours,
                    note=note,
                    source_url=self.url,
                )

    def _card(self, prices: _Prices) -> _Card:
        card: _Card = {}
        for meter, keys in _CHARGED_AS.items():
            key = next((key for key in keys if key in prices), None)
            if key is not None:
                card[meter] = self._steps(key, prices[key])
        return card

    def _steps(self, key: str, price: Decimal | types.TieredPrices) -> tuple[_Step, ...]:
        if not isinstance(price, types.TieredPrices):
            return (_Step(None, False, self._usd_per_1m(key, price)),)
        steps = [_Step(None, False, self._usd_per_1m(key, price.base))]
        for tier in price.tiers:
            # A start is the last count below the tier; one that ends in 999 says "from so many on".
            inclusive = tier.start % 1000 == 999
            over = tier.start + 1 if inclusive else tier.start
            steps.append(_Step(over, inclusive, self._usd_per_1m(key, tier.price)))
        return tuple(steps)

    def _usd_per_1m(self, key: str, price: Decimal) -> Decimal:
        if not isinstance(price, Decimal) or not price.is_finite() or not 0 <= price < _MOST:
            raise UnreadableTable(f"{self.name} of {self.provider}: {key} is {price}, which is no price.")
        return price * 1000 if key in _PER_THOUSAND else price


def _prices(listed: types.ModelPrice) -> _Prices:
    return {key: price for key, price in vars(listed).items() if price is not None and not key.startswith("_")}


def _holds(constraint: types.StartDateConstraint | types.TimeOfDateConstraint | None, day: date | None) -> bool:
    """Say whether a price is in force on a day; None is before all dates."""
    if isinstance(constraint, types.StartDateConstraint):
        return day is not None and constraint.start_date <= day
    return constraint is None


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _utc(of_day: time) -> time:
    """Return a time of day on UTC's clock, as theirs is compared; without a zone it is UTC."""
    if of_day.tzinfo is None:
        return of_day
    return datetime.combine(date(1970, 1, 1), of_day).astimezone(UTC).time()
