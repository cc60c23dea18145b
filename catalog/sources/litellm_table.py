"""LiteLLM's table of prices (`model_prices_and_context_window.json`), given as a file, read into quotes.

# Note [What LiteLLM leaves unsaid]
Its calculation (`litellm_core_utils/llm_cost_calc`, version 1.109) fills in what the table does not say, and a quote
says so outright: a cache read or write without a price is charged as input, a write of one hour as a write, audio and
images as text. Prices `_above_272k_tokens` hold above so many thousand tokens, for xAI from so many on; audio and
images have none of their own. What a service tier (`_flex`, `_priority`, ...) does not price has the standard price of
the same context tier. A batch is another matter: what it does not price is charged as a batch's input. Off-peak prices
replace whatever would hold otherwise, context tiers included.

Listed prices have no dates: a quote says what holds now.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from catalog.sources import providers, series
from catalog.sources.quotes import Quote, QuotedHours, Table, UnreadableTable

SOURCE = "litellm"

_SAMPLE = "sample_spec"  # the table's own explanation of its fields
_TIERS = ("flex", "balanced", "priority", "ultrafast")
_INCLUSIVE = frozenset({"xai"})
_HALF = re.compile("[\ud800-\udfff]")
_MOST = 1000  # USD for a unit of anything, a token or an hour
_LONGEST = 2**31 - 1  # tokens of a context limit
_FIREWORKS_CACHE_READ = Decimal("0.5")  # of input, where the table has no price for it

_INPUT, _OUTPUT = "input_cost_per_token", "output_cost_per_token"
_READ, _WRITE = "cache_read_input_token_cost", "cache_creation_input_token_cost"
_WRITE_1H = f"{_WRITE}_above_1hr"
_CACHE_HIT = "input_cost_per_token_cache_hit"  # an older name of a cache read
_SEARCH = "search_context_cost_per_query"
_REASONING = "output_cost_per_reasoning_token"
_IN_TOKENS = {"audio_input": "input_cost_per_audio_token", "image_input": "input_cost_per_image_token"}
_OUT_TOKENS = {"audio_output": "output_cost_per_audio_token", "image_output": "output_cost_per_image_token"}
_BY_TOKENS = (_INPUT, _OUTPUT, _READ, _WRITE)

# Every key of a price that is read below; any other that is not zero is a problem of its model.
_TOKEN_KEY = re.compile(
    rf"(?:{_INPUT}|{_OUTPUT}|{_READ}|{_WRITE}|{_WRITE_1H})"
    rf"(?P<above>_above_(?P<tokens>\d{{1,6}}k|\d{{1,9}})_tokens)?(?:_(?P<tier>{'|'.join(_TIERS)}|batches))?"
)
_MODALITY_KEY = re.compile(
    rf"(?:{'|'.join(_IN_TOKENS.values())})(?:_(?:{'|'.join(_TIERS)}|batches))?"
    rf"|{'|'.join(_OUT_TOKENS.values())}|{_OUT_TOKENS['image_output']}_batches"
)
_READ_ELSEWHERE = frozenset({_CACHE_HIT, _SEARCH, "input_cost_per_request", "off_peak_pricing", "tiered_pricing"})
_PRICE_KEY = re.compile(r"(?!.*_dbu_).*(?:cost|pricing|multiplier)")  # Databricks' own units stand beside USD

_WEEKDAYS = {
    name: number
    for number, names in enumerate(
        ("mon monday", "tue tues tuesday", "wed wednesday", "thu thur thurs thursday", "fri friday", "sat saturday",
         "sun sunday")
    )
    for name in names.split()
}  # fmt: skip
_DAY = timedelta(days=1)

_Entry = Mapping[str, Any]
_Card = dict[str, Decimal]  # USD per token of each meter
_Priced = tuple["_Level", Callable[[_Entry], _Card]]  # from a level on, a card given what is off-peak


class _LeftOut(Exception):
    """A part of an entry that cannot be read; the message says which, and why."""


@dataclass(frozen=True, slots=True)
class _Level:
    """From how many input tokens on another card holds; `text` is how keys write it."""

    tokens: int
    text: str


def read(content: bytes) -> Table:
    """Read the table.

    Raises:
        UnreadableTable: it is not JSON, not a table of models, or has a price that is none.
    """
    entries = _entries(content)
    quotes: dict[tuple[str, str], tuple[int, str, tuple[Quote, ...]]] = {}
    problems: list[tuple[str, str]] = []
    for name, entry in entries.items():
        listed_by = entry.get("litellm_provider")
        if not isinstance(listed_by, str) or not listed_by:
            problems.append((name, "no provider is named"))
            continue
        provider = providers.of_litellm(listed_by)
        prefix, _, rest = name.partition("/")
        prefixed = bool(rest) and providers.of_litellm(prefix) == provider
        model = rest if prefixed else name
        one = _Model(provider, model, listed_by, entry)
        found = one.quotes()
        if found:
            # Several names may lead to one model. That with its provider is looked up first there.
            rank = 2 if prefix == provider else 1 if prefixed else 0
            known = quotes.get((provider, model))
            if known is None or rank > known[0]:
                quotes[provider, model] = (rank, name, found)
            if known is not None and series.digest_of(known[2]) != series.digest_of(found):
                one.note(f"listed twice with other prices: those of {quotes[provider, model][1]} are quoted")
        else:
            one.note("no price that a meter here could have")
        if one.problems:
            problems.append((f"{model}@{provider}", "; ".join(one.problems)))
    if not quotes:
        raise UnreadableTable("No model of the table has a price.")
    return Table(
        source=SOURCE,
        version="",
        digest=hashlib.sha256(content).hexdigest(),
        quotes=tuple(quote for _, _, found in quotes.values() for quote in found),
        problems=tuple(problems),
        models=len(entries),
        content=content,
    )


def _entries(content: bytes) -> dict[str, _Entry]:
    """Decode the table and check every price of it: one that is none says that the rest is not to be trusted."""
    try:
        decoded = json.loads(
            content, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_without_repetition
        )
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise UnreadableTable(f"The file is not JSON as LiteLLM's table is: {error}.") from error
    if not isinstance(decoded, dict):
        raise UnreadableTable("The file is JSON, but not a mapping of models to prices, as LiteLLM's table is.")
    entries = {name: entry for name, entry in decoded.items() if name != _SAMPLE}
    if not entries:
        raise UnreadableTable("The table names no model.")
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            raise UnreadableTable(f"{name}: not a mapping of fields, as each model of LiteLLM's table is.")
        _check(name, entry)
    return entries


def _no_number(text: str) -> Decimal:
    raise ValueError(f"{text} is no price")


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{twice!r} stands twice in one place")
    for text in (*found, *(value for value in found.values() if isinstance(value, str))):
        # Escapes of JSON may write what no text of PostgreSQL holds: a NUL, or half of a surrogate pair.
        if "\0" in text or (not text.isascii() and _HALF.search(text)):
            raise ValueError(f"{text[:80]!r} holds a character that is none")
    return found


def _check(name: str, fields: _Entry) -> None:
    for key, value in fields.items():
        if key in ("tiered_pricing", "off_peak_pricing", _SEARCH):
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    _check(
                        f"{name}: {key}", part if key != _SEARCH else {f"cost {at}": one for at, one in part.items()}
                    )
        elif "cost" in key and value is not None and not isinstance(value, dict | list):
            if isinstance(value, bool) or not isinstance(value, Decimal | int):
                raise UnreadableTable(f"{name}: {key} is {value!r}, where a number belongs.")
            if value < 0:
                raise UnreadableTable(f"{name}: {key} is {value}, which is below 0.")
            if value > _MOST:
                raise UnreadableTable(f"{name}: {key} is {value:.3e}, which is more than any price in USD.")


class _Model:
    """One entry of the table: what it costs in each service tier, and what of it has no place here."""

    def __init__(self, provider: str, model: str, listed_by: str, entry: _Entry) -> None:
        self.provider, self.model = provider, model
        self.inclusive = listed_by in _INCLUSIVE
        self.entry = dict(entry)
        self.problems: list[str] = []
        if entry.get(_READ) is None and entry.get(_CACHE_HIT) is not None:
            self.entry[_READ] = entry[_CACHE_HIT]
        elif entry.get(_CACHE_HIT) not in (None, entry.get(_READ)):
            self.note(f"{_CACHE_HIT} is not {_READ}, which is quoted")
        if listed_by == "fireworks_ai" and self.entry.get(_READ) is None and entry.get(_INPUT) is not None:
            self.entry[_READ] = Decimal(entry[_INPUT]) * _FIREWORKS_CACHE_READ
        source = entry.get("source")
        self.url = source[:500] if isinstance(source, str) and source.startswith("http") else ""

    def note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def quotes(self) -> tuple[Quote, ...]:
        """Return all quotes; what cannot be read is noted."""
        left_out = self._not_read()
        if left_out:
            self.note(f"no meter or tier for {', '.join(left_out)}")
        if left_out and not any(value for key, value in self._numbers() if key not in left_out):
            return ()  # what is listed at 0 beside such a price is not free: it is charged in another way
        found: list[Quote] = []
        try:
            hours = self._off_peak_hours()
        except _LeftOut as error:
            # Without them the listed price would be the peak's for all the day.
            self.note(str(error))
            return ()
        if self.entry.get("tiered_pricing"):
            try:
                ranges = self._ranges()
            except _LeftOut as error:
                self.note(str(error))
                return ()
            found += self._quoted("", [(level, partial(self._of_range, part)) for level, part in ranges], hours)
        else:
            for tier in ("", *self._tiers()):
                found += self._quoted(tier, self._cards(tier), hours)
            if self.entry.get(f"{_INPUT}_batches") is not None:
                found += self._quoted("batch", self._batches(), ())
        return series.joined(found)

    # What is listed.

    def _numbers(self) -> Iterator[tuple[str, Decimal | int]]:
        for key, value in self.entry.items():
            if _PRICE_KEY.match(key) and isinstance(value, Decimal | int) and not isinstance(value, bool):
                yield key, value
            elif key == _SEARCH and isinstance(value, dict):
                yield from ((key, one) for one in value.values() if isinstance(one, Decimal | int))
            elif key == "tiered_pricing" and isinstance(value, list):
                for part in value:
                    if isinstance(part, dict):
                        yield from ((key, one) for at, one in part.items() if "cost" in at and one is not None)

    def _not_read(self) -> list[str]:
        """Return what is priced in ways that no meter and no tier here stands for."""
        left_out = []
        for key, value in self.entry.items():
            if key == "provider_specific_entry" and isinstance(value, dict):
                # Factors on all prices: by the place of serving, or for fast answers, which is read.
                factors = {at: one for at, one in value.items() if isinstance(one, Decimal | int)}
                left_out += [f"{at} times {one}" for at, one in factors.items() if self._is_surcharge(at)]
            if not _PRICE_KEY.match(key) or not value or key in _READ_ELSEWHERE:
                continue
            if key.startswith(_REASONING):
                if not self._as_output(key, value):
                    left_out.append(key)
            elif not self._is_read(key):
                left_out.append(key)
        return left_out

    def _is_surcharge(self, factor: str) -> bool:
        return self.provider == "anthropic" and factor != "fast"

    def _is_read(self, key: str) -> bool:
        if _MODALITY_KEY.fullmatch(key):
            return True
        match = _TOKEN_KEY.fullmatch(key)
        if match is None:
            return False
        # Where ranges have the prices, they have them for every service tier save the batch.
        return (
            not self.entry.get("tiered_pricing") or match["tier"] == "batches" or not (match["tier"] or match["above"])
        )

    def _as_output(self, key: str, value: Decimal) -> bool:
        """Say whether reasoning costs what output costs: it is counted within it."""
        return bool(value == self._per_token(key.replace(_REASONING, _OUTPUT), _OUTPUT))

    def _per_token(self, *keys: str) -> Decimal | None:
        for key in keys:
            value = self.entry.get(key)
            if value is not None:
                return Decimal(value)
        return None

    def _tiers(self) -> list[str]:
        found = {
            match["tier"]
            for key, value in self.entry.items()
            if value is not None and (match := _TOKEN_KEY.fullmatch(key))
        }
        tiers = [tier for tier in _TIERS if tier in found]
        return [*tiers, "fast"] if self._fast() is not None else tiers

    def _fast(self) -> Decimal | None:
        """Return the factor on all tokens of Anthropic's fast answers."""
        factors = self.entry.get("provider_specific_entry")
        factor = factors.get("fast") if isinstance(factors, dict) and self.provider == "anthropic" else None
        return Decimal(factor) if isinstance(factor, Decimal | int) else None

    def _levels(self, tier: str) -> list[_Level]:
        """Return the context limits of a service tier, rising: its own and the standard ones. The first is none."""
        found = {
            match["tokens"]
            for key, value in self.entry.items()
            if value is not None
            and (match := _TOKEN_KEY.fullmatch(key))
            and match["above"]
            and match["tier"] in (None, tier)
            and not key.endswith("_batches")
        }
        return [_Level(0, ""), *_rising(found)]

    # Cards: what each meter costs, per token. See Note [What LiteLLM leaves unsaid].

    def _cards(self, tier: str) -> list[_Priced]:
        """Return the cards of a service tier: one without a context limit, and one from each limit on."""
        levels = self._levels(tier)
        return [(level, partial(self._card, tier, levels[1 : index + 1])) for index, level in enumerate(levels)]

    def _card(self, tier: str, passed: list[_Level], off_peak: _Entry) -> _Card:
        factor = Decimal(1)
        if tier == "fast":
            factor, tier = self._fast() or factor, ""
        suffix = f"_{tier}" if tier else ""
        found = {key: self._per_token(f"{key}{suffix}", key) for key in _BY_TOKENS}
        image = self._per_token(_OUT_TOKENS["image_output"])
        if not found[_OUTPUT] and image is not None:
            found[_OUTPUT] = image  # a model that answers in images alone
        write_1h = self._per_token(f"{_WRITE_1H}{suffix}", _WRITE_1H)
        for level in passed:
            above = f"_above_{level.text}_tokens"
            for key in _BY_TOKENS:
                found[key] = _first(self._per_token(f"{key}{above}{suffix}", f"{key}{above}"), found[key])
            write_1h = _first(self._per_token(f"{_WRITE_1H}{above}{suffix}"), write_1h)
        card = self._filled(found, write_1h, off_peak, suffix)
        return {meter: price * factor for meter, price in card.items()}

    def _of_range(self, part: _Entry, off_peak: _Entry) -> _Card:
        own = {key: None if part.get(key) is None else Decimal(part[key]) for key in (*_BY_TOKENS, _WRITE_1H)}
        if own[_OUTPUT] is None:
            own[_OUTPUT] = self._per_token(_OUTPUT)
        return self._filled({key: own[key] for key in _BY_TOKENS}, own[_WRITE_1H], off_peak, "")

    def _filled(
        self, found: dict[str, Decimal | None], write_1h: Decimal | None, off_peak: _Entry, suffix: str
    ) -> _Card:
        now = {
            key: _first(None if off_peak.get(key) is None else Decimal(off_peak[key]), found[key]) for key in _BY_TOKENS
        }
        read, write = _first(now[_READ], now[_INPUT]), _first(now[_WRITE], now[_INPUT])
        card = {
            "uncached_input": now[_INPUT],
            "cache_read": read,
            "cache_write_5m": write,
            "cache_write_1h": _first(write_1h, write),
            "output": now[_OUTPUT],
        }
        for meter, key in _IN_TOKENS.items():
            card[meter] = _first(self._per_token(f"{key}{suffix}", key), now[_INPUT])
        for meter, key in _OUT_TOKENS.items():
            card[meter] = _first(self._per_token(key), now[_OUTPUT])
        return {meter: price for meter, price in card.items() if price is not None}

    def _batches(self) -> list[_Priced]:
        """Return the cards of a batch, which has context limits and rules of its own."""
        found = {
            match["tokens"]
            for key, value in self.entry.items()
            if value is not None
            and key.endswith("_batches")
            and (match := _TOKEN_KEY.fullmatch(key))
            and match["above"]
        }
        levels = [_Level(0, ""), *_rising(found)]
        return [(level, partial(self._batch, levels[1 : index + 1])) for index, level in enumerate(levels)]

    def _batch(self, passed: list[_Level], off_peak: _Entry) -> _Card:
        del off_peak  # a batch has none
        own = {}
        for key in (*_BY_TOKENS, _WRITE_1H):
            own[key] = self._per_token(f"{key}_batches")
            for level in passed:
                own[key] = _first(self._per_token(f"{key}_above_{level.text}_tokens_batches"), own[key])
        output = _first(own[_OUTPUT], _half(self._per_token(_OUTPUT)))
        image = _first(
            self._per_token(f"{_OUT_TOKENS['image_output']}_batches"),
            _first(_half(self._per_token(_OUT_TOKENS["image_output"])), output),
        )
        write = _first(own[_WRITE], own[_INPUT])
        # LiteLLM would take the price of five minutes. Where an hour is dearer otherwise, that is too little: unsaid.
        dearer = self._per_token(_WRITE_1H) is not None
        card = {
            "uncached_input": own[_INPUT],
            "cache_read": _first(own[_READ], own[_INPUT]),
            "cache_write_5m": write,
            "cache_write_1h": own[_WRITE_1H] if dearer else _first(own[_WRITE_1H], write),
            "output": output,
            "audio_output": output,
            "image_output": image,
        }
        for meter, key in _IN_TOKENS.items():
            card[meter] = _first(self._per_token(f"{key}_batches"), own[_INPUT])
        return {meter: price for meter, price in card.items() if price is not None}

    def _ranges(self) -> list[tuple[_Level, _Entry]]:
        """Return ranges of context with prices of their own, rising."""
        found: list[tuple[_Level, _Entry]] = []
        for part in self.entry["tiered_pricing"]:
            match part:
                case {"range": [Decimal() | int() as start, Decimal() | int()], "input_cost_per_token": _} if (
                    0 <= start <= _LONGEST
                ):
                    found.append((_Level(int(start), str(start)), part))
                case _:
                    raise _LeftOut("tiered_pricing is not by ranges of context")
            if part.get(_REASONING) not in (None, part.get(_OUTPUT)):
                self.note(f"no meter or tier for {_REASONING} of a range")
        found.sort(key=lambda one: one[0].tokens)
        if found[0][0].tokens != 0:
            raise _LeftOut("tiered_pricing does not begin at 0")
        return found

    # Quotes.

    def _quoted(self, tier: str, cards: list[_Priced], hours: tuple[QuotedHours, ...]) -> Iterator[Quote]:
        """Give the quotes of a service tier: its first card, and what each context tier changes of the one below."""
        counts = self._counts()
        ordinary = [(level, {**card({}), **counts}) for level, card in cards]
        yield from self._stepped(tier, ordinary, None)
        if hours:
            block = self.entry["off_peak_pricing"]
            off_peak = [(level, {**card(block), **counts}) for level, card in cards]
            pairs = zip(ordinary, off_peak, strict=True)
            changed = {meter for (_, one), (_, other) in pairs for meter in other if one.get(meter) != other[meter]}
            for window in hours:
                kept = [(level, {m: usd for m, usd in card.items() if m in changed}) for level, card in off_peak]
                yield from self._stepped(tier, kept, window)

    def _stepped(self, tier: str, cards: list[tuple[_Level, _Card]], hours: QuotedHours | None) -> Iterator[Quote]:
        below: _Card = {}
        for level, card in cards:
            for meter, usd in card.items():
                if below.get(meter) != usd:
                    price, note = series.fitted(usd.scaleb(6))
                    yield Quote(
                        provider=self.provider,
                        model=self.model,
                        meter=meter,
                        usd_per_1m=price,
                        context_over=level.tokens or None,
                        context_inclusive=self.inclusive and level.tokens > 0,
                        service_tier=tier,
                        hours=hours,
                        note=note,
                        source_url=self.url,
                    )
            below = card

    def _counts(self) -> _Card:
        """Return what is charged by the piece, the same in every tier."""
        card: _Card = {}
        request = self._per_token("input_cost_per_request")
        if request is not None:
            card["requests"] = request
        sizes = self.entry.get(_SEARCH)
        if isinstance(sizes, dict) and sizes:
            costs = {Decimal(one) for one in sizes.values() if one is not None}
            if len(costs) == 1:
                card["web_searches"] = costs.pop()
            else:
                self.note("a web search costs otherwise for each size of its context")
        return card

    # Hours.

    def _off_peak_hours(self) -> tuple[QuotedHours, ...]:
        block = self.entry.get("off_peak_pricing")
        if block is None:
            return ()
        if not isinstance(block, dict):
            raise _LeftOut("off_peak_pricing is not a mapping")
        unknown = {key for key in block if "cost" in key} - set(_BY_TOKENS)
        if unknown:
            raise _LeftOut(f"off_peak_pricing has no place for {', '.join(sorted(unknown))}")
        found = [window for hours in _texts(block.get("hours_utc")) for window in _windows(hours, None, None)]
        rules = block.get("windows")
        for rule in rules if isinstance(rules, list) else []:
            if not isinstance(rule, dict):
                raise _LeftOut("off_peak_pricing has windows that are no mappings")
            for hours in _texts(rule.get("hours_utc")):
                found += _windows(hours, rule.get("weekdays"), block.get("weekday_timezone"))
        if not found:
            raise _LeftOut("off_peak_pricing names no hours")
        return tuple(dict.fromkeys(found))


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _windows(hours: str, weekdays: object, zone: object) -> list[QuotedHours]:
    """Return windows for hours of UTC on weekdays of a zone's calendar, which may be another day than UTC's.

    A weekday there is that of the instant, here it is that on which the hours begin: hours are cut at midnight.
    """
    match = re.fullmatch(r"\s*(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)\s*", hours)
    if match is None:
        raise _LeftOut(f"off_peak_pricing has hours that are none: {hours!r}")
    try:
        starts, ends = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    except ValueError as error:
        raise _LeftOut(f"off_peak_pricing has hours that are none: {hours!r}") from error
    if weekdays is None:
        return [QuotedHours("UTC", tuple(range(7)), starts, ends)]
    days = tuple(sorted({_weekday(one) for one in weekdays})) if isinstance(weekdays, list) else ()
    if not days:
        raise _LeftOut(f"off_peak_pricing has weekdays that are none: {weekdays!r}")
    name, offset = _offset(zone)
    first, last = _shifted(starts, offset), _shifted(ends, offset)
    midnight = time(0)
    if first < last or last == midnight:
        return [QuotedHours(name, days, first, last)]
    if first == last:  # the whole day
        return [QuotedHours(name, days, midnight, midnight)]
    return [QuotedHours(name, days, first, midnight), QuotedHours(name, days, midnight, last)]


def _weekday(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 7:
        return value - 1
    if isinstance(value, str) and value.strip().lower() in _WEEKDAYS:
        return _WEEKDAYS[value.strip().lower()]
    raise _LeftOut(f"off_peak_pricing has a weekday that is none: {value!r}")


def _offset(zone: object) -> tuple[str, timedelta]:
    """Return a zone and how far its clock is from UTC, if that is the same at all times."""
    if zone is None:
        return "UTC", timedelta(0)
    try:
        calendar = ZoneInfo(str(zone).strip())
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise _LeftOut(f"off_peak_pricing names a zone that nobody knows: {zone!r}") from error
    months = [
        datetime(year, month, 1, tzinfo=UTC).astimezone(calendar) for year in (2024, 2027) for month in range(1, 13)
    ]
    offsets = {instant.utcoffset() or timedelta(0) for instant in months}
    if len(offsets) != 1:
        raise _LeftOut(f"off_peak_pricing has hours of UTC on weekdays of {zone}, whose clock changes")
    return calendar.key, offsets.pop()


def _shifted(of_day: time, by: timedelta) -> time:
    return (datetime(2024, 1, 1, of_day.hour, of_day.minute, tzinfo=UTC) + _DAY + by).time()


def _rising(texts: set[str]) -> list[_Level]:
    levels = [_Level(int(text.removesuffix("k")) * (1000 if text.endswith("k") else 1), text) for text in texts]
    return sorted(levels, key=lambda level: level.tokens)


def _first(value: Decimal | None, otherwise: Decimal | None) -> Decimal | None:
    return otherwise if value is None else value


def _half(value: Decimal | None) -> Decimal | None:
    return None if value is None else value / 2
