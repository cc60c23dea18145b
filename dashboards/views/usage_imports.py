"""Files of past events: uploaded and read, looked at, and booked or dropped by a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, BinaryIO
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from catalog.models import Gateway
from core import access, nudges
from core.errors import Conflict, Invalid, Malformed, NotFound, TooLarge
from dashboards.downloads import Table, offers
from dashboards.forms_prices import written
from dashboards.forms_usage_imports import COLUMN, ConfirmForm, ImportForm
from dashboards.views import files_intake
from dashboards.views.access import page, zone_of
from dashboards.views.links import number
from usage.api_intake import format_settings
from usage.formats import FILE_FORMATS
from usage.formats.csv_events import FIELDS, columns_of, guess
from usage.formats.pieces import UnreadableFile, head_of, is_table
from usage.selectors import imports as selected
from usage.selectors.imports import ImportRow
from usage.services import imports
from usage.tasks import JOBS

PER_PAGE = 50
MOST_GROUPS = 100
STATES = {
    "reading": ("info", "Being read"),
    "ready": ("warning", "To be confirmed"),
    "booking": ("info", "Being booked"),
    "done": ("ok", "Booked"),
    "failed": ("danger", "Stopped"),
    "dropped": ("neutral", "Dropped"),
}
KINDS = {"use_case": "Use cases", "team": "Teams", "model": "Models"}


def _table(request: HttpRequest) -> Table:
    return files_intake.imports()


@page("view")
@offers(_table)
def imports_page(request: HttpRequest) -> HttpResponse:
    return _imports(request, None, before=number(request.GET, "before"))


def _imports(
    request: HttpRequest, form: ImportForm | None, *, before: int | None = None, head: str = "", status: int = 200
) -> HttpResponse:
    rows = selected.listed(before=before, most=PER_PAGE + 1)
    gateways = _gateways()
    if form is None:
        wanted = request.GET.get("gateway", "")
        form = ImportForm(gateways=gateways, initial={"gateway": wanted} if wanted in gateways else {})
    context = {
        "form": form,
        "table": form["format"].value() in _tables(),
        "columns": columns_of(head) if head else (),
        "lines": [(row, *STATES[row.state]) for row in rows[:PER_PAGE]],
        "earlier_url": f"{reverse('usage-imports')}?before={rows[PER_PAGE - 1].id}" if len(rows) > PER_PAGE else "",
        "first_page": before is None,
        "gateways": gateways,
        "formats": list(FILE_FORMATS.values()),
        "may_import": request.user.has_perm("usage.send"),
        "may_connect": request.user.has_perm("keys.manage"),
        "largest_megabytes": settings.MAX_BODY_BYTES // (1024 * 1024),
        "now": timezone.now(),
    }
    return render(request, "dashboards/usage_imports.html", context, status=status)


def _gateways() -> list[str]:
    return list(Gateway.objects.filter(retired_at=None).order_by("name").values_list("name", flat=True))


def _tables() -> list[str]:
    """Return the formats that are told what their columns hold."""
    return [name for name, one in FILE_FORMATS.items() if one.check is not None]


@page("usage.send", "POST")
def columns(request: HttpRequest) -> HttpResponse:
    """Answer with the part of the form that says what a table's columns hold, guessed by their names."""
    head, problem = _head(request)
    form = _form(request, head, bound=False)
    context = {
        "form": form,
        "table": request.POST.get("format") in _tables(),
        "columns": columns_of(head),
        "problem": problem,
    }
    return render(request, "dashboards/_usage_import_columns.html", context)


@page("usage.send", "POST")
def upload(request: HttpRequest) -> HttpResponse:
    head, _ = _head(request)
    form = _form(request, head, bound=True)
    if request.POST.get("do") == "columns" or not form.is_valid():
        # Without scripts the columns are shown by a page of their own, and the file has to be chosen again.
        status = 200 if request.POST.get("do") == "columns" else 422
        return _imports(request, _form(request, head, bound=status == 422), head=head, status=status)
    data = form.cleaned_data
    file = data["file"]
    try:
        if file is None:
            raise Invalid("Choose a file.", [("file", "Choose a file.")])
        if file.size > settings.MAX_BODY_BYTES:
            raise TooLarge(
                f"The file has {file.size:,} bytes, and {settings.MAX_BODY_BYTES:,} are the most here. Larger ones are "
                "read with manage.py import_usage."
            )
        gateway = Gateway.objects.filter(name=data["gateway"]).first()
        if gateway is None:
            raise NotFound("There is no such gateway.")
        import_id = imports.take_file(
            file=file,
            file_name=file.name,
            format=data["format"],
            gateway_id=gateway.pk,
            environment=data["environment"] or "production",
            options=form.options if data["format"] in _tables() else {},
            settings=format_settings(gateway.settings),
            by=access.label(request.user),
            clock=timezone.now,
            most_bytes=settings.MAX_BODY_BYTES,
        )
    except Invalid as error:
        form.show(error.problems or [("file", str(error))])
    except (Conflict, Malformed, NotFound, TooLarge) as error:
        form.show([("file", str(error))])
    else:
        return redirect("usage-import", pk=import_id)
    return _imports(request, form, head=head, status=422)


def _head(request: HttpRequest) -> tuple[str, str]:
    """Return the head of the table that came with a form, or why there is none."""
    file: BinaryIO | None = request.FILES.get("file")  # type: ignore[assignment]
    if request.POST.get("format") not in _tables() or file is None:
        return "", ""
    try:
        if not is_table(file):
            return "", "This file begins like JSON and is no table."
        return head_of(file), ""
    except UnreadableFile as error:
        return "", f"The file cannot be read: {error}."
    finally:
        file.seek(0)


def _form(request: HttpRequest, head: str, *, bound: bool) -> ImportForm:
    """Return the form as it was filled in; columns that nobody chose are guessed where the file says its own."""
    given: dict[str, Any] = {"gateways": _gateways(), "columns": columns_of(head) if head else ()}
    guessed = guess(head) if head else {}
    if not bound:
        said = {name: request.POST.get(name, "") for name in ("gateway", "format", "environment", "zone")}
        return ImportForm(**given, guessed=guessed, initial={name: value for name, value in said.items() if value})
    filled = request.POST.copy()
    if not any(filled.get(f"{COLUMN}{field}") for field in FIELDS):
        for field, column in guessed.items():
            filled[f"{COLUMN}{field}"] = column
    return ImportForm(filled, request.FILES, **given)


@page("view")
def one_import(request: HttpRequest, pk: int) -> HttpResponse:
    row = _found(pk)
    if request.headers.get("HX-Request"):
        return render(request, "dashboards/_usage_import_run.html", _run(request, row))
    return _one(request, row, None)


def _found(pk: int) -> ImportRow:
    row = selected.one(import_id=pk)
    if row is None:
        raise Http404("There is no such import.")
    return row


def _run(request: HttpRequest, row: ImportRow) -> dict[str, Any]:
    """Return what the part of the page needs that renews itself."""
    tone, state = ("danger", "Stopped") if row.stopped else STATES[row.state]
    goes_on = row.state in ("reading", "booking") and not row.stopped
    return {
        "row": row,
        "tone": tone,
        "state": state,
        "goes_on": goes_on,
        # What it came to is on the rest of the page: whoever looked on gets all of it once it has ended.
        "ended": bool(request.headers.get("HX-Request")) and not goes_on,
        "failed": selected.failed_bodies(import_id=row.id) if row.bodies_failed else (),
        "may_go_on": request.user.has_perm("usage.send")
        and (row.stopped or (row.state == "failed" and row.covers is not None)),
        "now": timezone.now(),
    }


def _one(request: HttpRequest, row: ImportRow, form: ConfirmForm | None, *, status: int = 200) -> HttpResponse:
    may_import = request.user.has_perm("usage.send")
    zone = zone_of(request)
    usual = _usual(row)
    if form is None and usual is not None:
        form = ConfirmForm(zone=zone, initial={"since": written(usual[0], zone), "until": written(usual[1], zone)})
    order = [field for field in FIELDS if field in row.options.get("columns", {})]
    context = {
        **_run(request, row),
        "form": form,
        "zone": zone,
        "groups": row.groups[:MOST_GROUPS],
        "more_groups": max(0, len(row.groups) - MOST_GROUPS),
        "tokens": row.input_tokens + row.output_tokens,
        "priced": row.events - row.unpriced,
        "new_names": [(KINDS[kind], sorted(row.unknown[kind].items())) for kind in KINDS if row.unknown.get(kind)],
        "rejections": selected.rejections(import_id=row.id) if row.rejected else (),
        "mapping": [(FIELDS[field][0], row.options["columns"][field]) for field in order],
        "may_confirm": may_import and row.state == "ready" and usual is not None,
        "may_drop": may_import and row.confirmed_at is None and row.state != "dropped",
        "spend_url": _spend_url(row, zone),
    }
    return render(request, "dashboards/usage_import.html", context, status=status)


def _usual(row: ImportRow) -> Any:
    if row.first_at is None or row.last_at is None:
        return None
    return imports.usual_range(first_at=row.first_at, last_at=row.last_at)


def _spend_url(row: ImportRow, zone: str) -> str:
    """Return where the spend of what was booked is seen; both days are part of that page."""
    if row.state != "done" or row.audit or row.covers is None:
        return ""
    last = row.covers[1] - timedelta(microseconds=1)
    days = [f"{timezone.localtime(one):%Y-%m-%d}" for one in (row.covers[0], last)]
    return f"{reverse('spend')}?{urlencode({'from': days[0], 'to': days[1], 'gateway': row.gateway})}"


@page("usage.send", "POST")
def confirm(request: HttpRequest, pk: int) -> HttpResponse:
    row = _found(pk)
    form = ConfirmForm(request.POST, zone=zone_of(request))
    if _usual(row) is None:
        messages.error(request, "The file holds no events, so there is nothing to book.")
        return redirect("usage-import", pk=pk)
    if form.is_valid():
        audit = form.cleaned_data["audit"] == "audit"
        try:
            imports.confirm(
                import_id=pk,
                by=access.label(request.user),
                at=timezone.now(),
                covers=form.covers(),
                audit_only=audit,
                note=form.cleaned_data["note"].strip(),
            )
        except imports.RangeIsCounted as error:
            form.show([("audit", f"{error} Choose a range without them, or import for audit only.")])
        except imports.Settled as error:
            messages.error(request, str(error))
            return redirect("usage-import", pk=pk)
        except Invalid as error:
            form.show(error.problems or [("", str(error))])
        else:
            nudges.nudge(JOBS, "background")
            messages.success(request, "Confirmed. It is being booked; this page shows how far it is.")
            return redirect("usage-import", pk=pk)
    return _one(request, row, form, status=422)


@page("usage.send", "POST")
def drop(request: HttpRequest, pk: int) -> HttpResponse:
    row = _found(pk)
    try:
        imports.drop(import_id=pk, by=access.label(request.user), at=timezone.now())
    except imports.Settled as error:
        messages.error(request, str(error))
        return redirect("usage-import", pk=pk)
    messages.success(request, f"{row.file_name} is dropped, and nothing of it was booked.")
    return redirect("usage-imports")


@page("usage.send", "POST")
def again(request: HttpRequest, pk: int) -> HttpResponse:
    _found(pk)
    try:
        imports.again(import_id=pk, by=access.label(request.user), at=timezone.now())
    except imports.NotFailed as error:
        messages.error(request, str(error))
    else:
        nudges.nudge(JOBS, "background")
        messages.success(request, "It goes on.")
    return redirect("usage-import", pk=pk)
