"""What came in: bodies and what became of them, and events that were held; with what a person can do about either.

A body that could not be booked is tried again or given up, a held event is settled. Neither changes what was counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access, nudges
from core.errors import Conflict, Invalid, NotFound
from dashboards.downloads import Table, offers
from dashboards.forms_gateways import ReasonForm, SettleForm
from dashboards.selectors import intake as page_of
from dashboards.templatetags.figures import exact
from dashboards.views import files_intake
from dashboards.views.access import page
from dashboards.views.links import NUMBER, number
from usage.models import HeldReason
from usage.selectors import freshness
from usage.selectors import held as held_rows
from usage.selectors import receipts as rows_of
from usage.selectors.held import HeldRow
from usage.selectors.receipts import ReceiptRow
from usage.services import held, receipts
from usage.tasks import BOOK

PER_PAGE = 50
HELD_PER_PAGE = 20
SHOWN = {
    "all": "All",
    "failed": "Set aside",
    "pending": "Waiting",
    "in_part": "Not all counted",
    "done": "Booked",
    "given_up": "Given up",
}
REASONS = {"": "All", "conflict": "Conflicts", "too_old": "Too old"}
_BEFORE = re.compile(r"(?P<micros>[0-9]{1,17})-(?P<pk>[0-9]{1,18})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some of a body's events that came to the same."""

    count: int
    words: str
    tone: str
    about: str


@dataclass(frozen=True, kw_only=True)
class ReceiptLine:
    row: ReceiptRow
    tone: str
    state: str
    parts: Sequence[Part]

    @property
    def summary(self) -> str:
        return ", ".join(f"{exact(part.count)} {part.words}" for part in self.parts)


# What events come to: the column, in words for one and for several, its tone, and what that means.
_PARTS = (
    ("booked", "counted", "counted", "ok", "They are in every total."),
    ("duplicates", "repeat", "repeats", "neutral", "They had counted before, and count once."),
    ("conflicts", "conflict", "conflicts", "warning", "A known id with other content: the first counts; held."),
    (
        "quarantined", "too old", "too old", "warning",
        "More than 35 days older than the body, so they cannot be told from repeats; they are held.",
    ),
    (
        "shadowed", "kept aside", "kept aside", "info",
        "Another source or format counts the same calls, so these are in no total.",
    ),
    ("superseded", "superseded", "superseded", "info", "Another event counts in their place."),
    ("rejected", "refused", "refused", "danger", "They could not be events; the sender was told in the answer."),
)  # fmt: skip


def line_of(row: ReceiptRow) -> ReceiptLine:
    tone, state = {
        "pending": ("info", "waiting"),
        "done": ("ok", "booked"),
        "failed": ("neutral", "given up") if row.given_up_at else ("danger", "set aside"),
    }[row.state]
    parts = [
        Part(count=count, words=several if count != 1 else word, tone=tone, about=about)
        for name, word, several, tone, about in _PARTS
        if (count := getattr(row, name))
    ]
    return ReceiptLine(row=row, tone=tone, state=state, parts=parts)


def _bodies_asked(request: HttpRequest, gateways: Sequence[tuple[int, str]]) -> tuple[dict[str, str], str, int | None]:
    asked = {name: request.GET.get(name, "") for name in ("show", "gateway")}
    show = asked["show"] or "all"
    if show not in SHOWN:
        raise Http404("There is no such selection.")
    return asked, show, _gateway(asked["gateway"], gateways)


def _bodies_table(request: HttpRequest) -> Table:
    _, show, gateway_id = _bodies_asked(request, page_of.gateways())
    return files_intake.bodies(show=show, gateway_id=gateway_id)


@page("receipts.read")
@offers(_bodies_table)
def intake_page(request: HttpRequest) -> HttpResponse:
    gateways = page_of.gateways()
    asked, show, gateway_id = _bodies_asked(request, gateways)
    rows = rows_of.listed(
        show=show, gateway_id=gateway_id, before=_before(request.GET.get("before", "")), most=PER_PAGE + 1
    )
    shown, now = rows[:PER_PAGE], timezone.now()
    last = shown[-1] if len(rows) > PER_PAGE else None
    context = {
        "lines": [line_of(row) for row in shown],
        "counts": rows_of.counts(),
        "show": show,
        "shows": [(name, words, _url("intake", asked, show=name)) for name, words in SHOWN.items()],
        "gateways": gateways,
        "gateway_id": gateway_id,
        "older_url": _url("intake", asked, before=_after(last)) if last else "",
        "newest_url": _url("intake", asked) if request.GET.get("before") else "",
        "everything_url": reverse("intake"),
        "narrowed": show != "all" or gateway_id is not None,
        "may_settle": request.user.has_perm("intake.settle"),
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/intake.html", context)


def _gateway(text: str, known: Sequence[tuple[int, str]]) -> int | None:
    if not text:
        return None
    if not NUMBER.fullmatch(text) or int(text) not in {pk for pk, _ in known}:
        raise Http404("There is no such gateway.")
    return int(text)


def _before(text: str) -> tuple[datetime, int] | None:
    if not text:
        return None
    found = _BEFORE.fullmatch(text)
    if found is None:
        raise Http404("There is no such page.")
    return _EPOCH + int(found["micros"]) * _MICROSECOND, int(found["pk"])


def _after(row: ReceiptRow) -> str:
    return f"{(row.received_at - _EPOCH) // _MICROSECOND}-{row.id}"


def _url(name: str, asked: Mapping[str, str], **changed: str) -> str:
    query = {key: value for key, value in {**asked, **changed}.items() if value and value != "all"}
    return f"{reverse(name)}{'?' if query else ''}{urlencode(query)}"


@page("receipts.read")
def receipt(request: HttpRequest, pk: int) -> HttpResponse:
    return _receipt(request, pk, ReasonForm())


def _receipt(request: HttpRequest, pk: int, form: ReasonForm, *, status: int = 200) -> HttpResponse:
    found = rows_of.one(receipt_id=pk)
    if found is None:
        raise Http404("There is no such receipt.")
    row, now = found.row, timezone.now()
    context = {
        "line": line_of(row),
        "found": found,
        "kept": page_of.kept(receipt_id=pk) if row.state != "done" else None,
        "took": (row.done_at - row.received_at).total_seconds() if row.done_at else None,
        "more_refused": max(0, row.rejected - len(found.refusals)),
        "form": form,
        "may_settle": request.user.has_perm("intake.settle"),
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/intake_receipt.html", context, status=status)


@page("intake.settle", "POST")
def try_again(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        receipts.try_again(receipt_id=pk, by=access.label(request.user), at=timezone.now())
    except NotFound as error:
        raise Http404(str(error)) from error
    except Conflict as error:
        messages.info(request, str(error))
    else:
        nudges.nudge(BOOK, queue="intake")
        messages.success(request, f"Body {pk} is in line again, and is booked within seconds if it can be.")
    return redirect("intake-receipt", pk=pk)


@page("intake.settle", "POST")
def try_all_again(request: HttpRequest) -> HttpResponse:
    gateway_id = _gateway(request.POST.get("gateway", ""), page_of.gateways())
    done = receipts.try_all_again(by=access.label(request.user), at=timezone.now(), gateway_id=gateway_id)
    if done:
        nudges.nudge(BOOK, queue="intake")
        messages.success(request, f"{done:,} {'body is' if done == 1 else 'bodies are'} in line again.")
    else:
        messages.info(request, "No body is set aside any more.")
    return redirect(_url("intake", {"gateway": str(gateway_id or "")}))


@page("intake.settle", "POST")
def give_up(request: HttpRequest, pk: int) -> HttpResponse:
    form = ReasonForm(request.POST)
    if form.is_valid():
        try:
            receipts.give_up(
                receipt_id=pk, reason=form.cleaned_data["reason"], by=access.label(request.user), at=timezone.now()
            )
        except Invalid as error:
            form.show(error.problems)
        except NotFound as error:
            raise Http404(str(error)) from error
        except Conflict as error:
            messages.info(request, str(error))
            return redirect("intake-receipt", pk=pk)
        else:
            messages.success(request, f"Body {pk} is given up. Its events stay with it, in no total.")
            return redirect("intake-receipt", pk=pk)
    return _receipt(request, pk, form, status=422)


# --- held events ---


def _held_table(request: HttpRequest) -> Table:
    asked, filters = _asked(request.GET, page_of.gateways())
    return files_intake.held(settled=asked["settled"] == "yes", filters=filters)


@page("view")
@offers(_held_table)
def held_page(request: HttpRequest) -> HttpResponse:
    return _held(request, request.GET, SettleForm())


def _held(request: HttpRequest, given: QueryDict, form: SettleForm, *, status: int = 200) -> HttpResponse:
    gateways = page_of.gateways()
    asked, filters = _asked(given, gateways)
    before = number(given, "before")
    settled = asked["settled"] == "yes"
    rows = held_rows.listed(
        **filters, settled=settled, before=before, most=HELD_PER_PAGE + 1
    )  # fmt: skip
    shown, now = rows[:HELD_PER_PAGE], timezone.now()
    may_settle = request.user.has_perm("intake.settle") and bool(shown) and not settled
    context = {
        "rows": [HeldLine(row=row) for row in shown],
        "counts": rows_of.counts(),
        "asked": asked,
        "settled": settled,
        "before": given.get("before", ""),
        "upto": given.get("upto") or (shown[0].id if shown else ""),
        "reasons": [(name, words, _url("held", asked, reason=name)) for name, words in REASONS.items()],
        "settled_url": _url("held", asked, settled="" if settled else "yes"),
        "gateways": gateways,
        "gateway_id": filters["gateway_id"],
        "receipt_id": filters["receipt_id"],
        "older_url": _url("held", asked, before=str(shown[-1].id)) if len(rows) > HELD_PER_PAGE else "",
        "newest_url": _url("held", asked) if before else "",
        "everything_url": reverse("held"),
        "narrowed": any(asked.values()),
        "most_at_once": held.MOST_AT_ONCE,
        "chosen": {int(word) for word in given.getlist("ids") if NUMBER.fullmatch(word)},
        "all_chosen": given.get("all") == "on",
        "form": form,
        "may_settle": may_settle,
        "now": now,
        "complete_through": freshness.complete_through(at=now),
    }
    return render(request, "dashboards/intake_held.html", context, status=status)


@dataclass(frozen=True, kw_only=True)
class HeldLine:
    row: HeldRow

    @property
    def is_conflict(self) -> bool:
        return self.row.reason == HeldReason.CONFLICT

    @property
    def same(self) -> list[held_rows.Line]:
        return [line for line in self.row.lines if not line.differs]

    @property
    def said(self) -> str:
        """What the event says, in short: for one that stands beside nothing."""
        said = self.row.said
        meters = [value for name, value in said.items() if name.endswith("_tokens") and name != "reasoning_tokens"]
        model = "/".join(part for part in (said.get("provider"), said.get("model") or "no model") if part)
        use_case = said.get("use_case") or "unassigned"
        return f"{use_case}, {model}, {said.get('status') or 'ok'}, {exact(sum(meters))} tokens"


def _asked(given: QueryDict, gateways: Sequence[tuple[int, str]]) -> tuple[dict[str, str], dict[str, Any]]:
    asked = {name: given.get(name, "") for name in ("reason", "gateway", "receipt", "settled")}
    if asked["reason"] not in REASONS or asked["settled"] not in ("", "yes"):
        raise Http404("There is no such selection.")
    if asked["receipt"] and not NUMBER.fullmatch(asked["receipt"]):
        raise Http404("There is no such receipt.")
    return asked, {
        "reason": asked["reason"],
        "gateway_id": _gateway(asked["gateway"], gateways),
        "receipt_id": int(asked["receipt"]) if asked["receipt"] else None,
    }


@page("intake.settle", "POST")
def settle(request: HttpRequest) -> HttpResponse:
    """Settle what is ticked, or all that the filters of the page find and that was there when it was shown."""
    asked, filters = _asked(request.POST, page_of.gateways())
    form = SettleForm(request.POST)
    if form.is_valid():
        try:
            done = held.settle(
                held_ids=_chosen(request.POST, filters),
                reason=form.cleaned_data["found"],
                by=access.label(request.user),
                at=timezone.now(),
            )
        except Invalid as error:
            form.show(error.problems)
        except NotFound as error:
            form.show([("", str(error))])
        else:
            messages.success(request, f"{done:,} {'event is' if done == 1 else 'events are'} settled.")
            return redirect(_url("held", asked))
    return _held(request, request.POST, form, status=422)


def _chosen(given: QueryDict, filters: Mapping[str, Any]) -> list[int]:
    if given.get("all") == "on":
        upto = given.get("upto", "")
        if not NUMBER.fullmatch(upto):
            return []
        return held_rows.open_ids(upto=int(upto), most=held.MOST_AT_ONCE, **filters)
    return sorted({int(word) for word in given.getlist("ids") if NUMBER.fullmatch(word)})
