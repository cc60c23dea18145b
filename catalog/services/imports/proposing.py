"""From a table to proposals: refused whole where it cannot be right, else what differs from the book."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from catalog.models import PriceImport, PriceProposal, ProposalKind, ProposalState, SourceTable
from catalog.rules.comparing import Booked, Comparison, compare, gone, in_force, key_of
from catalog.rules.proposed import read, said, written
from catalog.selectors import snapshot
from catalog.services.imports.reading import Reading, booked, offered, ordinary, others_of
from catalog.sources.quotes import Table
from core.errors import Conflict, Invalid
from core.money import plain
from core.services import audit

_ONE_IMPORT = 7_305_003  # any number, as long as nobody else uses it
_EXAMPLES = 5
_LEAST_LEFT_PERCENT = 90
# Of a source that was never read, the book may have prices that its table never had: the standard catalogue lists
# resellers at what the table says of the lab. Then only a table that lacks most of it is held to be broken.
_LEAST_LEFT_AT_FIRST_PERCENT = 50
_UNITS = (100, 1_000, 1_000_000)  # cents, per thousand, per token
_NEARLY = Decimal("0.1")


class Shrunk(Conflict):
    """The table lists far fewer models than its source did before."""


class WrongUnits(Invalid):
    """So many prices moved by a factor of a unit that the table is in another one."""


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What came of an import. `new` to `disputed` count the proposals that it made, by kind.

    `waiting` are proposals of an earlier reading that say the same and are open still, `settled` differences that a
    person has rejected before, `replaced` older proposals that the table does not say any more. `import_id` is None
    where nothing new was proposed.
    """

    import_id: int | None
    source: str
    version: str
    models: int
    offerings: int
    new: int = 0
    changed: int = 0
    gone: int = 0
    disputed: int = 0
    waiting: int = 0
    settled: int = 0
    replaced: int = 0
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def proposed(self) -> int:
        return self.new + self.changed + self.gone + self.disputed


@transaction.atomic(durable=True)
def propose(*, table: Table, by: str, at: datetime, file_name: str = "", accept_shrunk: bool = False) -> ImportResult:
    """Compare a table with the book as recorded now, and leave a proposal for each offering that differs.

    What the table says already in an open proposal, and what a person rejected while the table says the same, is not
    proposed again; an open one only learns what other sources say by now. Open proposals of the source that the table
    does not bear out any more are replaced. So the same table again writes nothing. Of a table without differences
    only itself is kept, for other tables to be compared with. Imports wait for each other. About thirty queries, and
    one more per 500 proposals.

    Raises:
        Shrunk: it lists fewer than 90 per cent of what its source listed before, or, where none of that source was
            read before, fewer than half of the offerings that have prices of it; and `accept_shrunk` is not set.
        WrongUnits: more than a third of the prices that the book knows moved by a factor of 100, 1000 or a million.
        Invalid: it holds no price that can be used.
    """
    audit.acting(by=by, reason=f"prices of {table.source}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ONE_IMPORT])
    book = snapshot.load()
    names = {pk: facts.name for pk, facts in book.offerings.items()}
    held = booked()
    reading = offered(table, book, at)
    if not reading.named:
        raise Invalid("The table holds no price.", [("file", "no price in it")])
    tables = {row.source: row for row in SourceTable.objects.defer("content")}
    before = tables.pop(table.source, None)
    if not accept_shrunk:
        _refuse_shrunk(table, reading, before, _listed_of(table.source, held, names, at))
    _refuse_units(reading, held, at)
    if not reading.usable:
        raise Invalid("No price of the table can be used.", list(reading.problems[:20]))

    others = {row.source: row.quotes for row in tables.values()}
    past = _Past.of(table.source, others)
    compared = {
        one.name: compare(
            quotes=one.quotes,
            booked=held.get(one.offering_id, ()) if one.offering_id is not None else (),
            at=at,
            others=others_of(one.name, others),
        )
        for one in reading.usable.values()
    }
    ids = {one.name: one.offering_id for one in reading.named}
    for offering_id, rows in held.items():
        name = names[offering_id]
        # What no table that was read listed cannot be gone from it: see `_LEAST_LEFT_AT_FIRST_PERCENT`.
        once_listed = past.is_open(name, ProposalKind.GONE) or (before is not None and name in before.quotes)
        if name not in reading.listed and once_listed and _in_force_of(table.source, rows, at):
            compared[name] = gone(booked=rows, source=table.source, at=at, others=others_of(name, others))
            ids[name] = offering_id

    result = _write(table, compared, ids, past, reading, file_name=file_name, by=by, at=at)
    _keep(table, reading, before, by=by, at=at)
    return result


@dataclass(frozen=True, slots=True)
class _Past:
    """Proposals of before: those of the source, and of which offerings other sources have one to say."""

    open: dict[str, PriceProposal]
    settled: dict[str, PriceProposal]  # of each offering the one settled last
    told: dict[str, frozenset[str]]  # by offering, other sources whose own proposal shows that they disagree

    @classmethod
    def of(cls, source: str, others: Iterable[str]) -> _Past:
        """Read them. Three queries."""
        waiting = PriceProposal.objects.filter(source=source, state=ProposalState.OPEN)
        settled = (
            PriceProposal.objects.filter(source=source, state__in=[ProposalState.ACCEPTED, ProposalState.REJECTED])
            .order_by("offering_name", "-settled_at", "-id")
            .distinct("offering_name")
        )
        latest = (
            PriceProposal.objects.filter(source__in=list(others))
            .exclude(state=ProposalState.REPLACED)
            .order_by("source", "offering_name", "-id")
            .distinct("source", "offering_name")
            .values_list("source", "offering_name", "state")
        )
        told: dict[str, set[str]] = {}
        for other, name, state in latest:
            if state in (ProposalState.OPEN, ProposalState.REJECTED):
                told.setdefault(name, set()).add(other)
        return cls(
            open={row.offering_name: row for row in waiting},
            settled={row.offering_name: row for row in settled},
            told={name: frozenset(sources) for name, sources in told.items()},
        )

    def is_open(self, name: str, kind: str) -> bool:
        return name in self.open and self.open[name].kind == kind

    def decided(self, name: str, kind: str, lines: Sequence[Mapping[str, Any]]) -> bool:
        """Say whether a person has decided already on all that the table says."""
        last = self.settled.get(name)
        if last is None:
            return False
        # Who accepts a dispute has seen it and lets the book stand.
        if last.state != ProposalState.REJECTED and not (kind == last.kind == ProposalKind.DISPUTED):
            return False
        return said(kind, lines) <= said(last.kind, last.lines)

    def shown_elsewhere(self, name: str, lines: Sequence[Mapping[str, Any]]) -> bool:
        """Say whether all who disagree have a proposal of their own that shows it, or had one that was rejected."""
        disagreeing = {source for line in map(read, lines) for source in line.others if line.disputed}
        return disagreeing <= self.told.get(name, frozenset())


def _write(
    table: Table,
    compared: Mapping[str, Comparison],
    ids: Mapping[str, int | None],
    past: _Past,
    reading: Reading,
    *,
    file_name: str,
    by: str,
    at: datetime,
) -> ImportResult:
    fresh: list[PriceProposal] = []
    kept: set[str] = set()
    seen_anew: list[PriceProposal] = []
    settled = 0
    for name, found in sorted(compared.items()):
        if not found.kind:
            continue
        lines = [written(line) for line in found.lines]
        if found.kind == ProposalKind.DISPUTED and past.shown_elsewhere(name, lines):
            continue
        if past.decided(name, found.kind, lines):
            settled += 1
            continue
        held = past.open.get(name)
        if held is not None and _same(held, found.kind, lines, ids[name]):
            kept.add(name)
            if held.lines != lines:
                held.lines, held.disputed = lines, found.disputed
                seen_anew.append(held)
            continue
        fresh.append(
            PriceProposal(
                source=table.source,
                kind=found.kind,
                offering_name=name,
                offering_id=ids[name],
                lines=lines,
                disputed=found.disputed,
            )
        )

    outdated = [row.pk for name, row in past.open.items() if name not in kept]
    if outdated:
        PriceProposal.objects.filter(pk__in=outdated, state=ProposalState.OPEN).update(
            state=ProposalState.REPLACED, settled_by=by, settled_at=at
        )
    # Only other sources say something else by now: it stays the same proposal, for whoever is looking at it.
    PriceProposal.objects.bulk_update(seen_anew, ["lines", "disputed"], batch_size=500)
    made = None
    if fresh:
        made = PriceImport.objects.create(
            source=table.source,
            version=table.version[:64],
            file_name=file_name[:200],
            digest=table.digest,
            models_count=table.models,
            problems=[{"name": name, "problem": problem} for name, problem in reading.problems],
            by=by,
            at=at,
        )
        for row in fresh:
            row.of_import = made
        PriceProposal.objects.bulk_create(fresh, batch_size=500)
    counts = Counter(str(row.kind) for row in fresh)
    return ImportResult(
        import_id=None if made is None else made.pk,
        source=table.source,
        version=table.version,
        models=table.models,
        offerings=len(reading.usable),
        new=counts["new"],
        changed=counts["changed"],
        gone=counts["gone"],
        disputed=counts["disputed"],
        waiting=len(kept),
        settled=settled,
        replaced=len(outdated),
        problems=reading.problems,
    )


def _same(held: PriceProposal, kind: str, lines: Sequence[Mapping[str, Any]], offering_id: int | None) -> bool:
    """Say whether an open proposal says this already, whatever other sources say beside it."""
    if (held.kind, held.offering_id) != (kind, offering_id):
        return False
    if kind == ProposalKind.DISPUTED:
        return bool(held.lines == lines)
    return [{**line, "others": None} for line in held.lines] == [{**line, "others": None} for line in lines]


def _keep(table: Table, reading: Reading, before: SourceTable | None, *, by: str, at: datetime) -> None:
    """Remember the table for others to be compared with, unless it is what is remembered."""
    quotes = {
        one.name: {meter: plain(usd) for meter, usd in ordinary(one.quotes, at).items()}
        for one in sorted(reading.usable.values(), key=lambda one: one.name)
    }
    facts = {
        "version": table.version[:64],
        "digest": table.digest,
        "models_count": table.models,
        "quotes": quotes,
    }
    has_content = before is not None and (before.content is not None or not table.content)
    if has_content and all(getattr(before, name) == value for name, value in facts.items()):
        return
    content = zlib.compress(table.content) if table.content else None
    kept = {**facts, "content": content, "read_at": at, "read_by": by}
    SourceTable.objects.update_or_create(source=table.source, defaults=kept)


def _in_force_of(source: str, rows: Iterable[Booked], at: datetime) -> bool:
    return any(one.source == source and one.starts <= at < one.ends for one in rows)


def _listed_of(
    source: str, held: Mapping[int, Sequence[Booked]], names: Mapping[int, str], at: datetime
) -> frozenset[str]:
    return frozenset(names[offering] for offering, rows in held.items() if _in_force_of(source, rows, at))


def _refuse_shrunk(table: Table, reading: Reading, before: SourceTable | None, of_source: frozenset[str]) -> None:
    """Raise where too much of what the source listed is missing.

    Raises:
        Shrunk: with how much was there, how much is left, and names.
    """
    least = _LEAST_LEFT_PERCENT
    if before is None:
        least = _LEAST_LEFT_AT_FIRST_PERCENT
        was, left, missing = len(of_source), len(of_source & reading.listed), of_source - reading.listed
        what = "offerings whose prices in the book come from it"
    else:
        missing = frozenset(before.quotes) - reading.listed
        was, left, what = before.models_count, table.models, "models that it listed before"
        if not _too_few(left, was, least):
            was, left, what = len(before.quotes), len(reading.usable), "offerings that it had prices of before"
    if not _too_few(left, was, least):
        return
    some = sorted(missing)
    named = ", ".join(some[:_EXAMPLES]) + (f" and {len(some) - _EXAMPLES:,} more" if len(some) > _EXAMPLES else "")
    raise Shrunk(
        f"The table of {table.source} shrank: of {was:,} {what}, {left:,} are left, fewer than {least} per cent. "
        + (f"Missing: {named}. " if named else "")
        + "Nothing was imported. If that is right, say so and import it all the same (accept shrunk)."
    )


def _too_few(left: int, was: int, least_percent: int) -> bool:
    return left * 100 < was * least_percent


def _refuse_units(reading: Reading, held: Mapping[int, Sequence[Booked]], at: datetime) -> None:
    """Raise where prices moved as they do when a unit is mistaken, and many of them.

    Raises:
        WrongUnits: with examples.
    """
    known = 0
    examples: list[str] = []
    moved = 0
    for one in reading.named:
        prices = _now(held.get(one.offering_id, ()) if one.offering_id is not None else (), at)
        for quote in (quote for quotes in one.by_name.values() for quote in quotes):
            usd = prices.get(key_of(quote))
            if not usd or not in_force(quote, at) or not quote.usd_per_1m.is_finite():
                continue
            known += 1
            if quote.usd_per_1m > 0 and _by_a_unit(quote.usd_per_1m / usd):
                moved += 1
                if len(examples) < _EXAMPLES:
                    examples.append(f"{quote.meter} of {one.name} from {usd.normalize():f} to {quote.usd_per_1m:f}")
    if moved * 3 > known:
        raise WrongUnits(
            f"{moved:,} of {known:,} prices that the book knows moved by a factor of 100, 1,000 or a million: is the "
            f"table in USD per million? Nothing was imported. For example: {'; '.join(examples)}.",
            [("file", "prices are not per million")],
        )


def _now(rows: Iterable[Booked], at: datetime) -> dict[object, Decimal]:
    return {one.key: one.price.usd_per_1m for one in rows if one.starts <= at < one.ends}


def _by_a_unit(ratio: Decimal) -> bool:
    ratio = max(ratio, 1 / ratio)
    return any(abs(ratio / unit - 1) <= _NEARLY for unit in _UNITS)
