"""Which use case, team and offering an event is about; names that nobody knows become rows that wait."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.models import UNASSIGNED_ID
from catalog.rules import UNASSIGNED, Book, fold
from catalog.services import on_sight
from usage.selectors import world as worlds
from usage.services.batch import Batch, Line


def name(batch: Batch) -> None:
    """Resolve use cases, teams and offerings; names that nobody knows become rows that wait for an owner."""
    book = batch.world.book
    new: dict[str, dict[str, str]] = {"use_case": {}, "team": {}}
    new_offerings: dict[str, None] = {}
    waiting: list[tuple[Line, str, str, str]] = []
    for line in batch.lines:
        event = line.event
        if event.voids:
            line.use_case = line.team = UNASSIGNED_ID  # it books nothing of its own
            continue
        use_case, team = _fold(event.use_case), _fold(event.team)
        offering = book.offering(event.provider, event.model, event.occurred_at)
        found_use_case = book.use_case(use_case, event.occurred_at) if use_case else UNASSIGNED_ID
        found_team = book.team(team, event.occurred_at) if team else 0
        if isinstance(offering, int) and found_use_case is not None and found_team is not None:
            line.offering, line.use_case = offering, found_use_case
            line.team = found_team or book.team_of(found_use_case, event.occurred_at) or UNASSIGNED_ID
            continue
        if found_use_case is None:
            new["use_case"].setdefault(use_case, event.use_case)
        if found_team is None:
            new["team"].setdefault(team, event.team)
        if isinstance(offering, str):
            new_offerings[offering] = None
        waiting.append((line, use_case, team, offering if isinstance(offering, str) else ""))
    if not waiting:
        return
    made = {kind: on_sight.labels(kind=kind, names=names, at=batch.at) for kind, names in new.items() if names}
    # Under the names that the rows have: who made one first may have written it otherwise, and budgets go by the row.
    use_cases, teams = made.get("use_case", {}), made.get("team", {})
    book.use_cases.update({folded: id_ for folded, (id_, _) in use_cases.items()})
    book.use_case_names.update(use_cases.values())
    book.teams.update({folded: id_ for folded, (id_, _) in teams.items()})
    book.team_names.update(teams.values())
    made_offerings = on_sight.offerings(names=list(new_offerings), at=batch.at) if new_offerings else {}
    _learn_offerings(book, made_offerings)
    for line, use_case, team, offering_name in waiting:
        at = line.event.occurred_at
        line.use_case = (book.use_case(use_case, at) if use_case else None) or UNASSIGNED_ID
        line.team = (book.team(team, at) if team else None) or book.team_of(line.use_case, at) or UNASSIGNED_ID
        resolved = made_offerings.get(offering_name.lower()) if offering_name else None
        line.offering = resolved or int(book.offering(line.event.provider, line.event.model, at))


def _learn_offerings(book: Book, made: Mapping[str, int]) -> None:
    if made:
        fresh = worlds.offering_facts(list(made.values()))
        book.offerings.update(fresh)
        book.offering_ids.update({facts.name.lower(): facts.id for facts in fresh.values()})


_folded: dict[str, str] = {}


def _fold(label: str) -> str:
    """Fold a label, remembering: a gateway writes few of them, again and again."""
    folded = _folded.get(label)
    if folded is None:
        if len(_folded) > 10_000:
            _folded.clear()
        folded = fold(label)
        folded = "" if folded == UNASSIGNED else folded
        _folded[label] = folded
    return folded
