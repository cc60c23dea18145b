"""Saving views of pages, and changing them. A view is its owner's; an admin may change what is shared."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Lower

from core.errors import Conflict, Invalid, NotFound
from core.models import User
from core.services.audit import acting
from dashboards.models import SavedPage, SavedView
from dashboards.selectors.saved_views import may_change

MOST = 200  # of one person
LONGEST_NAME, LONGEST_QUERY = 80, 2000


class NameTaken(Conflict):
    """One of the owner's views of the page has this name already."""


class TooMany(Conflict):
    """A person has no room for another view."""


class NotYours(NotFound):
    """There is no view of that number which the person may change."""


@transaction.atomic(durable=True)
def save(*, page: str, name: str, query: str, shared: bool, owner: User, at: datetime) -> SavedView:
    """Keep the state of a page under a name.

    Raises:
        Invalid: the name is empty or too long, or the address is too long.
        NameTaken: one of the owner's has this name, whatever its case; nothing changed.
        TooMany: she has `MOST` already.
    """
    name = _checked(name, query)
    acting(by=str(owner), reason="saved a view")
    _hold(owner.pk)
    _check_free(owner.pk, page, name)
    if SavedView.objects.filter(owner=owner).count() >= MOST:
        raise TooMany(f"You have {MOST} saved views, which is all there is room for. Delete one first.")
    return SavedView.objects.create(
        page=SavedPage(page), name=name, query=query, shared=shared, owner=owner, changed_at=at
    )


@transaction.atomic(durable=True)
def change(
    *,
    view_id: int,
    by: User,
    at: datetime,
    name: str | None = None,
    query: str | None = None,
    shared: bool | None = None,
) -> SavedView:
    """Change what is given of a view; repeating it changes nothing more.

    Raises:
        Invalid, NameTaken: as `save`.
        NotYours: there is none, or it is not the person's to change.
    """
    acting(by=str(by), reason="changed a saved view")
    view = _held(view_id, by)
    _hold(view.owner_id)
    if name is not None:
        view.name = _checked(name, "")
        _check_free(view.owner_id, view.page, view.name, but=view.pk)
    if query is not None:
        _checked(view.name, query)
        view.query = query
    if shared is not None:
        view.shared = shared
    view.changed_at = at
    view.save(update_fields=["name", "query", "shared", "changed_at"])
    return view


@transaction.atomic(durable=True)
def delete(*, view_id: int, by: User) -> str:
    """Take a view away for good; return what it was called.

    Raises:
        NotYours: there is none, or it is not the person's to change.
    """
    acting(by=str(by), reason="deleted a saved view")
    view = _held(view_id, by)
    view.delete()
    return view.name


def _checked(name: str, query: str) -> str:
    name = " ".join(name.split())
    problems = []
    if not name:
        problems.append(("name", "Give the view a name."))
    if len(name) > LONGEST_NAME or "\0" in name:
        problems.append(("name", f"A name has {LONGEST_NAME} characters at most."))
    if len(query) > LONGEST_QUERY or "\0" in query:
        problems.append(("query", f"This address has more than {LONGEST_QUERY:,} characters: take filters away first."))
    if problems:
        raise Invalid(" ".join(sentence for _, sentence in problems), problems)
    return name


def _hold(owner_id: int) -> None:
    # Two at once by one person: the second looks at names and counts after the first has committed.
    User.objects.select_for_update().filter(pk=owner_id).values_list("pk").first()


def _check_free(owner_id: int, page: str, name: str, *, but: int | None = None) -> None:
    # As the constraint has it: `iexact` compares upper case, and tells names apart whose lower case is the same.
    same = SavedView.objects.alias(folded=Lower("name")).filter(folded=Lower(Value(name)))
    taken = same.filter(owner_id=owner_id, page=page).values_list("pk", flat=True)
    if any(pk != but for pk in taken):
        raise NameTaken(f"There is a view {name!r} already. Take another name, or change that one.")


def _held(view_id: int, by: Any) -> SavedView:
    view = SavedView.objects.select_for_update().filter(pk=view_id).first()
    if view is None or not may_change(view, by):
        raise NotYours("There is no view of yours like that.")
    return view
