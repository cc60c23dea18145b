"""From a table's names to offerings of the catalogue, and from the book's rows to what they are compared as."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from catalog.models import HourWindow, Offering, Price
from catalog.rules import METERS, Book, ListedPrice
from catalog.rules.comparing import Booked, in_force, key_of, merged
from catalog.selectors import snapshot
from catalog.services import prices
from catalog.sources.quotes import Quote, Table, UnreadableTable
from core.errors import Invalid, Malformed
from core.models import Organisation

SOURCES = ("genai-prices", "litellm", "csv")
FILES = ("litellm", "csv")  # the others are read from what is installed

_PLACES = 10
_REQUESTS_APART = ("requests", "web_searches")


def read(*, source: str, content: bytes | None = None) -> Table:
    """Read a table of prices whole: the installed price data of genai-prices, or a file's content.

    Days in a CSV file are the organisation's, as in every form.

    Raises:
        Invalid: there is no such source, or a file is missing or too many.
        Malformed: the table cannot be read; nothing of it is used.
    """
    if source not in SOURCES:
        raise Invalid(f"Prices are read from {', '.join(SOURCES)}.", [("from", "unknown source")])
    try:
        if source not in FILES:
            if content is not None:
                sentence = "genai-prices is read from the installed package; it takes no file."
                raise Invalid(sentence, [("file", sentence)])
            # Imported where they are used: the package's data takes its time, and only imports need it.
            from catalog.sources.genai import read as read_installed

            return read_installed()
        if content is None:
            raise Invalid(f"Prices of {source} are read from a file.", [("file", "none given")])
        if source == "litellm":
            from catalog.sources.litellm_table import read as read_litellm

            return read_litellm(content)
        from catalog.sources.csv_file import read as read_csv

        return read_csv(content, zone=Organisation.objects.get(pk=1).zone)
    except UnreadableTable as error:
        raise Malformed(f"The table cannot be read, and nothing of it was used: {error}") from error


@dataclass(slots=True)
class Offered:
    """What a table says of one offering: known to the catalogue by its id, or by the name that it would get."""

    name: str
    offering_id: int | None
    by_name: dict[str, list[Quote]] = field(default_factory=dict)
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """What a table says by offering (`named`), what of that can be used, and why the rest cannot.

    `listed` are all offerings that the table names, with a price or without: none of them is gone.
    """

    named: tuple[Offered, ...]
    usable: dict[str, Offered]
    problems: tuple[tuple[str, str], ...]
    listed: frozenset[str]


def offered(table: Table, book: Book, at: datetime) -> Reading:
    """Resolve a table's names as an event that reported them now would be."""
    found: dict[str, Offered] = {}
    problems = list(table.problems)
    resolved: dict[tuple[str, str], Offered] = {}
    for quote in table.quotes:
        asked = (quote.provider, quote.model)
        into = resolved.get(asked)
        if into is None:
            name, known = _resolve(book, *asked, at)
            into = resolved[asked] = found.setdefault(name.lower(), Offered(name, known))
        into.by_name.setdefault(f"{quote.provider}/{quote.model}", []).append(quote)
    listed = {one.name for one in found.values()}
    listed |= {_resolve(book, *_parted(name), at)[0] for name, _ in table.problems}

    usable = {}
    for one in found.values():
        sentence = next((why for quotes in one.by_name.values() for q in quotes if (why := _cannot_be(q))), "")
        if not sentence:
            one.quotes, sentence = merged(one.by_name)
        if sentence:
            problems.append((one.name, sentence))
        else:
            usable[one.name] = one
    return Reading(tuple(found.values()), usable, tuple(problems), frozenset(listed))


def _resolve(book: Book, provider: str, model: str, at: datetime) -> tuple[str, int | None]:
    found = book.offering(provider, model, at)
    if isinstance(found, int):
        return book.offerings[found].name, found
    return found, None


def _parted(name: str) -> tuple[str, str]:
    """Return provider and model of a name that a reader gave a problem: `model@provider` or `provider/model`."""
    if "@" in name:
        model, _, provider = name.rpartition("@")
    else:
        provider, _, model = name.partition("/")
    return (provider, model) if provider and model else ("", name)


def _cannot_be(quote: Quote) -> str:
    """Say why a price could never be accepted; empty where it could."""
    usd = quote.usd_per_1m
    if quote.meter not in METERS:
        return f"There is no meter {quote.meter!r}."
    most = prices.MOST_USD_PER_1M_OTHERS if quote.meter in _REQUESTS_APART else prices.MOST_USD_PER_1M_TOKENS
    if not usd.is_finite() or usd < 0:
        return f"The price of {quote.meter} is not a number of 0 or more."
    if usd > most:
        return f"{usd:,f} USD per million of {quote.meter} is more than {most:,f}: is the unit right?"
    if usd != round(usd, _PLACES):
        return f"The price of {quote.meter} has more than {_PLACES} decimal places."
    if quote.context_over is not None and quote.context_over <= 0:
        return "A context tier begins above a number of tokens greater than 0."
    if quote.valid_from and quote.valid_until and quote.valid_until <= quote.valid_from:
        return f"The price of {quote.meter} would hold for no time at all."
    return ""


def booked(only: Collection[int] | None = None) -> dict[int, tuple[Booked, ...]]:
    """Return list prices as recorded now, by offering, those of the past too. Three queries.

    Unlike the book that rating keeps, prices of regions that the offering is not in are among them.
    """
    windows = {row.pk: snapshot.hours_of(row) for row in HourWindow.objects.all()}
    offerings = Offering.objects.all() if only is None else Offering.objects.filter(pk__in=only)
    served_as = {
        (provider, model): pk for pk, provider, model in offerings.values_list("id", "provider_id", "model_id")
    }
    held = Price.objects.filter(recorded__upper_inf=True, series__contract__isnull=True)
    if only is not None:
        held = held.filter(series__model__in={model for _, model in served_as})
    columns = (
        "id", "usd_per_1m", "valid", "source", "series__provider_id", "series__model_id", "series__meter",
        "series__context_over", "series__context_inclusive", "series__service_tier", "series__region",
        "series__hour_window_id",
    )  # fmt: skip
    found: dict[int, list[Booked]] = {}
    for id_, usd, valid, source, provider, model, meter, over, inclusive, tier, region, window in held.values_list(
        *columns
    ):
        offering = served_as.get((provider, model))
        if offering is None:
            continue
        price = ListedPrice(
            id=id_,
            meter=METERS.index(meter),
            usd_per_1m=usd,
            scaled=int(usd.scaleb(_PLACES)),
            starts_at=valid.lower,
            ends_at=valid.upper,
            context_over=over,
            context_inclusive=inclusive,
            service_tier=tier or "",
            hours=windows[window] if window is not None else None,
            region=region or "",
        )
        found.setdefault(offering, []).append(Booked(price, source))
    return {offering: tuple(rows) for offering, rows in found.items()}


def ordinary(quotes: Iterable[Quote], at: datetime) -> dict[str, Decimal]:
    """Return by meter what a table says of ordinary requests at an instant."""
    return {quote.meter: quote.usd_per_1m for quote in quotes if in_force(quote, at) and key_of(quote).ordinary}


def others_of(name: str, tables: Mapping[str, Mapping[str, Mapping[str, str]]]) -> dict[str, dict[str, Decimal]]:
    """Return what other sources' newest tables say of an offering, by source and meter."""
    return {
        source: {meter: Decimal(usd) for meter, usd in quotes[name].items()}
        for source, quotes in tables.items()
        if name in quotes
    }
