"""Saved views: opening them, and a page to rename, share and delete them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core.errors import Conflict, Invalid, NotFound
from dashboards.models import SavedPage
from dashboards.selectors import saved_views as page_of
from dashboards.services import saved_views as service
from dashboards.views.access import page
from dashboards.views.spend_address import read

_SPEND = SavedPage.SPEND.value


@page("view", "GET", "HEAD", "POST")
def views_page(request: HttpRequest) -> HttpResponse:
    """List what one can open; what is sent is a new view of the spend page."""
    if request.method == "POST":
        return _save(request)
    rows = page_of.offered(page=_SPEND, person=request.user)
    context = {
        "own": [row for row in rows if row.own],
        "others": [row for row in rows if not row.own],
        "most": service.MOST,
    }
    return render(request, "dashboards/saved_views.html", context)


@page("view")
def open_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Go to what a view shows; its link stays the same when it is changed."""
    try:
        row = page_of.one(view_id=pk, person=request.user)
    except NotFound as error:
        raise Http404(str(error)) from error
    return redirect(_address(row.query))


@page("view", "POST")
def change(request: HttpRequest, pk: int) -> HttpResponse:
    person: Any = request.user
    what = request.POST.get("what", "")
    now = timezone.now()
    try:
        if what == "rename":
            name = request.POST.get("name", "")
            messages.success(request, f"The view is called {service.change(view_id=pk, by=person, at=now, name=name)}.")
        elif what in ("share", "unshare"):
            view = service.change(view_id=pk, by=person, at=now, shared=what == "share")
            seen = "Everybody who signs in can open" if view.shared else "Nobody but its owner can open"
            messages.success(request, f"{seen} the view {view} now.")
        elif what == "replace":
            view = service.change(view_id=pk, by=person, at=now, query=_query(request))
            messages.success(request, f"The view {view} is what you see now.")
            return redirect(_address(view.query))
        elif what == "delete":
            messages.success(request, f"The view {service.delete(view_id=pk, by=person)} is gone.")
        else:
            raise Http404("There is nothing like that to do with a view.")
    except NotFound as error:
        raise Http404(str(error)) from error
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    return redirect("saved-views")


def _save(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    query = _query(request)
    try:
        view = service.save(
            page=_SPEND,
            name=request.POST.get("name", ""),
            query=query,
            shared=request.POST.get("shared") == "on",
            owner=person,
            at=timezone.now(),
        )
        messages.success(request, f"Saved as {view}.{' Everybody who signs in can open it.' if view.shared else ''}")
    except (Invalid, Conflict) as error:
        messages.error(request, f"Not saved. {error}")
    return redirect(_address(query))


def _query(request: HttpRequest) -> str:
    """Return the state that was sent, as the page itself would write it: nothing else is kept."""
    declared = request.organisation.declared_tags  # type: ignore[attr-defined]
    state, problems = read(QueryDict(request.POST.get("query", "")), declared=declared)
    if problems:
        raise Http404(" ".join(problems))
    return state.query()


def _address(query: str) -> str:
    return f"{reverse('spend')}{'?' if query else ''}{query}"
