"""Imports of prices and what they propose, as typed rows: for the console and the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q

from catalog.models import ClaimState, Offering, PriceImport, PriceProposal, ProposalKind, ProposalState, SourceTable
from catalog.rules.proposed import ProposedLine, read


@dataclass(frozen=True, kw_only=True)
class SourceRow:
    """The newest table that was read from a source."""

    source: str
    version: str
    digest: str
    models: int
    offerings: int  # that have an ordinary price in it
    read_at: datetime
    read_by: str
    open_proposals: int


@dataclass(frozen=True, kw_only=True)
class ImportRow:
    """One reading of a source that brought proposals, and how many of them there are by kind and state."""

    id: int
    source: str
    version: str
    file_name: str
    digest: str
    models: int
    problems: int  # names that could not be read in full
    by: str
    at: datetime
    counts: Mapping[str, Mapping[str, int]]  # {"new": {"open": 3, "accepted": 1}}; what is 0 is left out

    def of_kind(self, kind: str) -> int:
        return sum(self.counts.get(kind, {}).values())

    def in_state(self, state: str) -> int:
        return sum(states.get(state, 0) for states in self.counts.values())

    @property
    def proposals(self) -> int:
        return sum(sum(states.values()) for states in self.counts.values())

    @property
    def open(self) -> int:
        return self.in_state(ProposalState.OPEN)


@dataclass(frozen=True, kw_only=True)
class ProblemRow:
    name: str
    problem: str


@dataclass(frozen=True, kw_only=True)
class ProposalRow:
    """What an import says of one offering, with all lines of its card, those that stand as they are too."""

    id: int
    import_id: int
    source: str
    source_version: str
    imported_at: datetime
    kind: str
    offering: str
    offering_id: int | None  # None where the catalogue does not know it
    disputed: bool
    state: str
    settled_by: str
    settled_at: datetime | None
    lines: tuple[ProposedLine, ...]

    @property
    def differing(self) -> tuple[ProposedLine, ...]:
        return tuple(line for line in self.lines if line.differs)

    @property
    def standing(self) -> tuple[ProposedLine, ...]:
        return tuple(line for line in self.lines if not line.differs)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return which other sources say something of it: the columns of a table that shows them side by side."""
        return tuple(sorted({source for line in self.lines for source in line.others}))

    @property
    def summary(self) -> str:
        """Say in a sentence what accepting it would do."""
        differing = self.differing
        prices = f"{len(differing)} price{'' if len(differing) == 1 else 's'}"
        if self.kind == ProposalKind.NEW:
            return f"Sets {prices} of an offering that has none."
        if self.kind == ProposalKind.GONE:
            return f"Ends {prices}: {self.source} lists the offering no more."
        if self.kind == ProposalKind.DISPUTED:
            others = sorted({one for line in self.lines if line.disputed for one in line.others})
            return f"Changes nothing: the book and {self.source} agree, {' and '.join(others)} says otherwise."
        past = any(line.valid_from is not None and line.valid_from < self.imported_at for line in differing)
        return f"Changes {prices}{', some of them for the past' if past else ''}."


def source_tables() -> list[SourceRow]:
    """Return the newest table of each source, by name. Two queries."""
    open_by_source = dict(
        PriceProposal.objects.filter(state=ProposalState.OPEN).values_list("source").annotate(Count("id"))
    )
    return [
        SourceRow(
            source=row.source,
            version=row.version,
            digest=row.digest,
            models=row.models_count,
            offerings=len(row.quotes),
            read_at=row.read_at,
            read_by=row.read_by,
            open_proposals=open_by_source.get(row.source, 0),
        )
        for row in SourceTable.objects.order_by("source")
    ]


def imports(*, before: int | None = None, most: int | None = None, only: int | None = None) -> list[ImportRow]:
    """Return imports that brought proposals, the latest first, with id below `before`. Two queries."""
    found = PriceImport.objects.order_by("-id")
    if before is not None:
        found = found.filter(id__lt=before)
    if only is not None:
        found = found.filter(id=only)
    rows = list(found[:most])
    counts: dict[int, dict[str, dict[str, int]]] = {}
    grouped = PriceProposal.objects.filter(of_import__in=[row.pk for row in rows])
    for of, kind, state, count in grouped.values_list("of_import_id", "kind", "state").annotate(Count("id")):
        counts.setdefault(of, {}).setdefault(kind, {})[state] = count
    return [
        ImportRow(
            id=row.pk,
            source=row.source,
            version=row.version,
            file_name=row.file_name,
            digest=row.digest,
            models=row.models_count,
            problems=len(row.problems),
            by=row.by,
            at=row.at,
            counts=counts.get(row.pk, {}),
        )
        for row in rows
    ]


def problems(*, of_import: int) -> list[ProblemRow]:
    """Return what an import could not read, in the table's order; nothing where there is no such import. One query."""
    kept = PriceImport.objects.filter(pk=of_import).values_list("problems", flat=True).first()
    return [ProblemRow(name=one["name"], problem=one["problem"]) for one in kept or ()]


def proposals(
    *,
    of_import: int | None = None,
    state: str = "",
    kind: str = "",
    source: str = "",
    search: str = "",
    disputed: bool | None = None,
    known: bool = False,
    after: tuple[str, int] | None = None,
    most: int | None = None,
    only: Iterable[int] | None = None,
) -> list[ProposalRow]:
    """Return proposals in the order of (offering, id), those behind `after`. One query.

    `search` is looked for anywhere in the offering's name, without regard to case. `known` leaves those that
    `known_count` counts.
    """
    found = PriceProposal.objects.select_related("of_import").order_by("offering_name", "id")
    found = found.defer("of_import__problems")
    if of_import is not None:
        found = found.filter(of_import=of_import)
    if only is not None:
        found = found.filter(pk__in=list(only))
    for column, value in (("state", state), ("kind", kind), ("source", source)):
        if value:
            found = found.filter(**{column: value})
    if search:
        found = found.filter(offering_name__icontains=search.strip())
    if disputed is not None:
        found = found.filter(disputed=disputed)
    if known:
        found = found.filter(_known())
    if after is not None:
        name, pk = after
        found = found.filter(Q(offering_name__gt=name) | Q(offering_name=name, pk__gt=pk))
    return [_row(row) for row in found[:most]]


def known_count(*, of_import: int | None = None) -> int:
    """Return how many proposals wait for a person and are of offerings that the catalogue has. One query.

    Those are what the book prices, and what calls or people named and nothing prices. The others are the rest of the
    market: tables list some thousand models of which nobody here ever called one.
    """
    waiting = PriceProposal.objects.filter(_known(), state=ProposalState.OPEN)
    return (waiting if of_import is None else waiting.filter(of_import=of_import)).count()


def _known() -> Q:
    # An offering that is made on sight after its import is known too.
    named = Offering.objects.filter(name=OuterRef("offering_name")).exclude(state=ClaimState.MERGED)
    return Q(offering__isnull=False) | Q(Exists(named))


def proposal(*, pk: int) -> ProposalRow | None:
    """Return one proposal, None where there is none. One query."""
    return next(iter(proposals(only=[pk])), None)


def _row(row: PriceProposal) -> ProposalRow:
    lines: list[dict[str, Any]] = row.lines
    return ProposalRow(
        id=row.pk,
        import_id=row.of_import_id,
        source=row.source,
        source_version=row.of_import.version,
        imported_at=row.of_import.at,
        kind=row.kind,
        offering=row.offering_name,
        offering_id=row.offering_id,
        disputed=row.disputed,
        state=row.state,
        settled_by=row.settled_by,
        settled_at=row.settled_at,
        lines=tuple(map(read, lines)),
    )
