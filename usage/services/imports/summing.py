"""What a file holds, summed up while it is read: for the person who decides whether it is booked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from catalog.models import UNASSIGNED_ID
from catalog.rules import UNASSIGNED, Book, fold
from core.money import plain
from usage.events import Event, Rejected
from usage.rules.rating import atto, price_of, usd
from usage.services.pricing import meters_of

# A file may name as many things as it likes, and its summary is one row of the database.
MOST_GROUPS = 300
MOST_NAMES = 50
MOST_REASONS = 50
OTHERS = "others"


class Summary:
    """Sums of an import, kept with it as JSON between parts and between processes.

    Names are resolved and calls are priced by the catalogue as it is when the part is read; nothing is made on sight.
    """

    def __init__(self, kept: Mapping[str, Any], *, gateway_id: int) -> None:
        self._gateway_id = gateway_id
        self._groups: dict[tuple[str, str], list[int]] = {}
        for row in kept.get("groups", ()):
            sums = [row["events"], row["input_tokens"], row["output_tokens"], atto(Decimal(row["cost_usd"]))]
            self._groups[row["use_case"], row["model"]] = [*sums, row["unpriced"]]
        self._unknown: dict[str, dict[str, int]] = {
            kind: dict(kept.get("unknown", {}).get(kind, {})) for kind in ("use_case", "team", "model")
        }
        self._reasons: dict[str, int] = dict(kept.get("reasons", {}))
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None

    def add(self, events: Iterable[Event], book: Book) -> None:
        for event in events:
            at = event.occurred_at
            self.first_at = at if self.first_at is None else min(self.first_at, at)
            self.last_at = at if self.last_at is None else max(self.last_at, at)
            offering = book.offering(event.provider, event.model, at)
            meters = meters_of(event)
            cost: int | None = None
            if isinstance(offering, int):
                model = book.offerings[offering].name
                cost = price_of(
                    book=book, offering=offering, service_tier=event.service_tier, occurred_at=at, meters=meters,
                    counted=event.counted, gateway=self._gateway_id,
                ).cost  # fmt: skip
            else:
                model = offering
                self._note("model", model)
            if event.status == "cache_hit" and cost is not None:
                cost = 0
            team = fold(event.team)
            if team and team != UNASSIGNED and book.team(team, at) is None:
                self._note("team", event.team)
            group = self._group(self._use_case(event, book), model)
            group[0] += 1
            group[1] += sum(meters[:4]) + meters[5] + meters[7]
            group[2] += meters[4] + meters[6] + meters[8]
            group[3] += cost or 0
            group[4] += cost is None

    def refuse(self, rejected: Iterable[Rejected]) -> None:
        for item in rejected:
            reason = item.error if item.error in self._reasons or len(self._reasons) < MOST_REASONS else OTHERS
            self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def kept(self) -> dict[str, Any]:
        """Return what is kept; groups with most tokens first."""
        groups = sorted(self._groups.items(), key=lambda group: (-group[1][1] - group[1][2], group[0]))
        return {
            "groups": [
                {
                    "use_case": use_case, "model": model, "events": sums[0], "input_tokens": sums[1],
                    "output_tokens": sums[2], "cost_usd": plain(usd(sums[3])), "unpriced": sums[4],
                }
                for (use_case, model), sums in groups
            ],
            "unknown": self._unknown,
            "reasons": self._reasons,
        }  # fmt: skip

    def _use_case(self, event: Event, book: Book) -> str:
        folded = fold(event.use_case)
        if not folded or folded == UNASSIGNED:
            return book.use_case_names.get(UNASSIGNED_ID, UNASSIGNED)
        known = book.use_case(folded, event.occurred_at)
        if known is not None:
            return book.use_case_names[known]
        self._note("use_case", event.use_case)
        return event.use_case

    def _group(self, use_case: str, model: str) -> list[int]:
        key = (use_case, model)
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            key = (OTHERS, OTHERS)
        return self._groups.setdefault(key, [0, 0, 0, 0, 0])

    def _note(self, kind: str, name: str) -> None:
        names = self._unknown[kind]
        if name in names or len(names) < MOST_NAMES:
            names[name] = names.get(name, 0) + 1
