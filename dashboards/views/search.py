"""Search: what has a name, found from every page; with `go=yes` the only thing of that very name is opened."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from dashboards.selectors import search as selector
from dashboards.views.access import page

SUGGESTED, LISTED = 4, 25  # of a kind, below the field and on the page


@page("view")
def search(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    alone = bool(request.headers.get("HX-Request") and not request.headers.get("HX-History-Restore-Request"))
    problem = ""
    if len(text) > selector.LONGEST:
        problem = f"A search has {selector.LONGEST} characters at most."
    elif "\0" in text:  # no text of the database holds one
        problem = "This text cannot be searched for."
    found = [] if problem else selector.find(text=text, may=request.user.has_perm, most=SUGGESTED if alone else LISTED)
    # Who presses Enter in the field goes there; links that say what was searched for show the list.
    if request.GET.get("go") == "yes" and not alone and (hit := selector.meant(found)):
        return redirect(hit.url)
    context = {
        "searched_for": text,
        "problem": problem,
        "found": found,
        "count": sum(len(one.hits) for one in found),
        "more": any(one.more for one in found),
        "suggestions": alone,
    }
    # htmx swaps in no answer of 400, and a sentence below the field says as much.
    status = 400 if problem and not alone else 200
    return render(request, "_search_results.html" if alone else "dashboards/search.html", context, status=status)
