"""Where the numbers of the spend page lead: to what they are made of, to their entries, to prices and to the API."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from dashboards.selectors.spend_question import NONE, Bucket, Question
from dashboards.templatetags.links import offering_url
from dashboards.views.spend_address import State
from usage.selectors.spend_ask import TAG

# What one asks next of a use case, a model, ...
_NEXT = {
    "team": ("use_case", "model"),
    "use_case": ("model", "tier"),
    "model": ("use_case", "provider"),
    "provider": ("model", "use_case"),
    "tier": ("model", "use_case"),
}
_USUAL = ("use_case", "model")

Names = dict[str, str | None]  # by dimension; None: none given


def sayable(names: Names) -> bool:
    """Tell whether an address can say these names: sums do not keep what has no value of a tag."""
    return not any(name.startswith(TAG) and value is None for name, value in names.items())


def days_said(first: date, last: date) -> str:
    """Return what an address says of some days, the last one included."""
    return urlencode([("from", first.isoformat()), ("to", last.isoformat())])


def narrowed(state: State, question: Question, names: Names) -> dict[str, Any] | None:
    """Return the changes that make the question one about some names, told apart by what is not settled yet.

    None where no address says it.
    """
    if not sayable(names):
        return None
    filters = {**state.filters, **{name: (value or NONE,) for name, value in names.items()}}
    left = [name for name in question.dimensions if name not in names]
    if left:
        return {"filters": filters, "by": left[0], "then": ""}
    if not names:
        return {"filters": filters}
    choices = (*_NEXT.get(question.dimensions[-1], ()), *_USUAL, "tier", "gateway")
    by = next((each for each in choices if len(filters.get(each, ())) != 1), question.by)
    return {"filters": filters, "by": by, "then": ""}


def drill_url(state: State, question: Question, names: Names) -> str:
    """Return the address of some names; empty where there is none."""
    changes = narrowed(state, question, names)
    return "" if changes is None else state.url(**changes)


def days_url(state: State, first: date, last: date) -> str:
    """Return the same question about some of its days, drawn by what is usual for so many."""
    return state.url(**state.within(first, last), per="")


def entries_url(question: Question, names: Names, *, first: date | None = None, last: date | None = None) -> str:
    """Return where the entries behind a sum are listed; empty where no address says it."""
    of = entries_of(question, names)
    if of is None:
        return ""
    days = days_said(first or question.first, last or question.last)
    return f"{entries_path()}?{'&'.join(filter(None, [days, of]))}"


def entries_of(question: Question, names: Names) -> str | None:
    """Return what an address says of the entries behind a sum, without when; None where none can."""
    if not sayable(names):
        return None
    filters = {**question.filters, **{name: (value or NONE,) for name, value in names.items()}}
    return urlencode([(name, value) for name, values in filters.items() for value in values])


def entries_within(bucket: Bucket) -> str:
    """Return what an address says of when the entries of an hour were, or of the days of a longer bucket."""
    if bucket.hour is None:
        return days_said(bucket.first, bucket.last)
    begins = bucket.hour.astimezone(UTC)
    return urlencode([("from", f"{begins:%Y-%m-%dT%H:%MZ}"), ("to", f"{begins + timedelta(hours=1):%Y-%m-%dT%H:%MZ}")])


@cache
def entries_path() -> str:
    return reverse("entries")


def prices(question: Question) -> dict[str, str]:
    """Return where the prices behind the numbers are, once these are of one model: at one provider, or at any."""
    models, providers = (question.filters.get(name, ()) for name in ("model", "provider"))
    if len(models) != 1:
        return {}
    (model,) = models
    if len(providers) == 1:
        name = f"{model}@{providers[0]}"
        if url := offering_url(name):
            return {"prices_of": name, "prices_url": url}
    return {"prices_of": model, "prices_url": f"{reverse('catalog')}?{urlencode({'q': model})}"}


def api_query(question: Question) -> str:
    """Return the same question to the API, whose ranges end before their last instant."""
    group_by = ",".join([*question.dimensions, question.per])
    pairs = [("from", question.first.isoformat()), ("to", question.until.isoformat()), ("group_by", group_by)]
    pairs += [("latency", "true")] if question.measures.unit == "ms" else []
    pairs += [(name, "" if value == NONE else value) for name, values in question.filters.items() for value in values]
    return f"{reverse('api-spend')}?{urlencode(pairs, safe=',:')}"
