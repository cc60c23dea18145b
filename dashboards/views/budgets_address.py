"""What an address of the list of budgets says: which of them are shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, QueryDict
from django.urls import reverse

from budgets.selectors.overview import BudgetRow
from core.periods import KINDS

STATES = {
    "all": "All",
    "exceeded": "Used up",
    "near": "Past a threshold",
    "running-out": "Running out",
    "enforced": "Enforced now",
}
_TEXT_CHARACTERS = 128
_PAGE = re.compile(r"[1-9][0-9]{0,4}")


def is_in(state: str, row: BudgetRow) -> bool:
    """Whether a budget belongs to one of STATES; to several, perhaps."""
    if state == "exceeded":
        return row.state == "EXCEEDED"
    if state == "near":
        return row.state in ("WARN", "ALERT")
    if state == "running-out":
        return bool(row.forecast and row.forecast.runs_out_on)
    return row.enforced if state == "enforced" else True


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which budgets are asked for. `text` is looked for in names, scopes and owners."""

    state: str = "all"
    text: str = ""
    period: str = ""
    page: int = 1

    @property
    def narrowed(self) -> bool:
        return bool(self.text or self.period or self.state != "all")

    def wants(self, row: BudgetRow) -> bool:
        if not is_in(self.state, row) or self.period not in ("", row.period_kind):
            return False
        looked_in = [row.name, row.owner, *(value for values in row.scope.values() for value in values)]
        return all(any(word in one.casefold() for one in looked_in) for word in self.text.casefold().split())

    def url(self, **changes: Any) -> str:
        """Return the address of what is asked for with some of it changed, from its first page on."""
        asked = replace(self, **{"page": 1, **changes})
        pairs = {
            "state": asked.state if asked.state != "all" else "",
            "q": asked.text,
            "period": asked.period,
            "page": str(asked.page) if asked.page > 1 else "",
        }
        query = urlencode({name: value for name, value in pairs.items() if value})
        return f"{reverse('budgets')}{'?' if query else ''}{query}"


def read(given: QueryDict) -> Asked:
    """Return what an address asks for.

    Raises:
        Http404: it means nothing.
    """
    asked = Asked(
        state=given.get("state") or "all",
        text=given.get("q", "").replace("\x00", "").strip()[:_TEXT_CHARACTERS],
        period=given.get("period", ""),
    )
    number = given.get("page") or "1"
    if not _PAGE.fullmatch(number):
        raise Http404("There is no such page.")
    asked = replace(asked, page=int(number))
    if asked.state not in STATES:
        raise Http404(f"There is no state {asked.state!r} of budgets.")
    if asked.period and asked.period not in KINDS:
        raise Http404(f"There is no kind of period {asked.period!r}.")
    return asked
