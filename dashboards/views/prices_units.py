"""Is the unit right? What a person who types prices is asked: plain values in, sentences out."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from catalog.models import Meter
from dashboards.charts.prices import price

OFTEN = 10  # so many times more or less than what it is compared with is worth a question
_COUNTED_APART = (Meter.REQUESTS, Meter.WEB_SEARCHES)
_UNITS = {1_000: "per 1,000 instead of per million", 1_000_000: "for one token instead of for a million"}
_NEARLY = Decimal("0.1")


def warnings(
    *, typed: Mapping[str, Decimal], now: Mapping[str, Decimal], others: Mapping[str, Decimal]
) -> list[tuple[str, str]]:
    """Return questions about prices in USD per million, as (meter, sentence). None of them has to be wrong.

    `now` is what the book says of the same series, `others` what it says of the offering's ordinary meters. A price is
    compared with its own of now; one that is new, with all other prices of tokens, typed or in the book.
    """
    found = []
    for meter, usd in typed.items():
        if not usd.is_finite():
            continue
        was = now.get(meter)
        if was:
            sentence = _against_now(usd, was)
        elif was is None and meter not in _COUNTED_APART:
            known = {**others, **now, **typed}
            sentence = _against_others(
                usd,
                {
                    other: value
                    for other, value in known.items()
                    if other != meter and other not in _COUNTED_APART and value.is_finite() and value > 0
                },
            )
        else:
            sentence = ""
        if sentence:
            found.append((meter, sentence))
    return found


def _against_now(usd: Decimal, was: Decimal) -> str:
    if usd == 0:
        return f"It costs {price(was)} now and would cost nothing."
    ratio = usd / was
    if 1 / Decimal(OFTEN) < ratio < OFTEN:
        return ""
    many, word = (ratio, "more") if ratio >= 1 else (1 / ratio, "less")
    return f"That is {_times(many)} times {word} than now, {price(was)}.{_guess(many)}"


def _against_others(usd: Decimal, others: Mapping[str, Decimal]) -> str:
    if not others or usd == 0:
        return ""
    cheapest = min(others, key=lambda meter: others[meter])
    dearest = max(others, key=lambda meter: others[meter])
    if usd > others[dearest] * OFTEN:
        many = usd / others[dearest]
        return f"That is {_times(many)} times more than {_label(dearest)}, {price(others[dearest])}.{_guess(many)}"
    if usd * OFTEN < others[cheapest]:
        many = others[cheapest] / usd
        return f"That is {_times(many)} times less than {_label(cheapest)}, {price(others[cheapest])}.{_guess(many)}"
    return ""


def _label(meter: str) -> str:
    return str(Meter(meter).label)


def _times(many: Decimal) -> str:
    return f"{many.quantize(Decimal(1)):,}" if many >= 20 else f"{many.quantize(Decimal('0.1')).normalize():f}"


def _guess(many: Decimal) -> str:
    for unit, words in _UNITS.items():
        if abs(many / unit - 1) <= _NEARLY:
            return f" As if one of the two were {words}."
    return ""
