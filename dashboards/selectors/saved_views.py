"""Views of pages that somebody named: one's own, and those that others share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

from core import access
from core.errors import NotFound
from dashboards.models import SavedView

MOST_OFFERED = 400


@dataclass(frozen=True, kw_only=True)
class ViewRow:
    """A saved view as somebody sees it; `query` stands behind the question mark of its page's address."""

    id: int
    page: str
    name: str
    query: str
    owner: str
    own: bool
    shared: bool
    changeable: bool
    changed_at: datetime


def offered(*, page: str, person: Any) -> list[ViewRow]:
    """Return what a person can open, her own first, each by name. One query."""
    rows = _seen_by(person).filter(page=page).select_related("owner").order_by(Lower("name"), "pk")[:MOST_OFFERED]
    return sorted((_row(row, person) for row in rows), key=lambda row: not row.own)


def one(*, view_id: int, person: Any) -> ViewRow:
    """Return one of them. One query.

    Raises:
        NotFound: there is none, or it is another's who does not share it.
    """
    row = _seen_by(person).select_related("owner").filter(pk=view_id).first()
    if row is None:
        raise NotFound("There is no such view, or its owner does not share it any more.")
    return _row(row, person)


def may_change(view: SavedView, person: Any) -> bool:
    """Say whether somebody may change a view that she sees: her own, and as admin those that are shared."""
    return view.owner_id == person.pk or (view.shared and access.may(person, "users.manage"))


def _seen_by(person: Any) -> QuerySet[SavedView]:
    return SavedView.objects.filter(Q(owner_id=person.pk) | Q(shared=True))


def _row(view: SavedView, person: Any) -> ViewRow:
    return ViewRow(
        id=view.pk,
        page=view.page,
        name=view.name,
        query=view.query,
        owner=str(view.owner),
        own=view.owner_id == person.pk,
        shared=view.shared,
        changeable=may_change(view, person),
        changed_at=view.changed_at,
    )
