"""Statements as they were imported: bringing one, and withdrawing one with a reason."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from core import access
from core.errors import Conflict, Invalid, Malformed, NotFound, TooLarge
from dashboards.forms_reconciliation import StatementForm, WithdrawForm
from dashboards.views.access import page
from dashboards.views.days import range_words
from dashboards.views.links import number
from usage.selectors import statements as selector
from usage.services import statements
from usage.services.statements import Imported
from usage.statements import FORMATS

EDIT = "prices.edit"  # finance and platform, as for tables of prices from outside
PER_PAGE = 50


@page("view")
def files_page(request: HttpRequest) -> HttpResponse:
    if any(name != "before" for name in request.GET):
        raise Http404("There is no such page.")
    return _files(request, StatementForm(), before=number(request.GET, "before"))


def _files(request: HttpRequest, form: StatementForm, *, before: int | None = None, status: int = 200) -> HttpResponse:
    rows = selector.files(before=before, most=PER_PAGE + 1)
    shown = rows[:PER_PAGE]
    context = {
        "form": form,
        "rows": [(row, range_words(row.first_day, row.last_day)) for row in shown],
        "later_url": f"{reverse('reconciliation-files')}?before={shown[-1].id}" if len(rows) > PER_PAGE else "",
        "first_page": before is None,
        "may_import": request.user.has_perm(EDIT),
        "formats": FORMATS,
        "largest_megabytes": statements.LARGEST_FILE_BYTES // (1024 * 1024),
    }
    return render(request, "dashboards/reconciliation_files.html", context, status=status)


@page(EDIT, "POST")
def upload(request: HttpRequest) -> HttpResponse:
    form = StatementForm(request.POST, request.FILES)
    if not form.is_valid():
        return _files(request, form, status=422)
    data = form.cleaned_data
    file = data["file"]
    try:
        if file is None:
            raise Invalid("Choose a file.")
        if file.size > statements.LARGEST_FILE_BYTES:
            raise TooLarge(
                f"The file has {file.size:,} bytes; a statement has {statements.LARGEST_FILE_BYTES:,} at most."
            )
        done = statements.import_file(
            content=file.read(), file_name=file.name, format=data["format"], account=data["account"],
            gateway=data["gateway"], by=access.label(request.user), at=timezone.now(),
        )  # fmt: skip
    except (Invalid, Malformed, TooLarge, Conflict, NotFound) as error:
        form.show([("file", str(error))])
        return _files(request, form, status=422)
    if done.known:
        messages.info(request, "The same file was imported before. Nothing changed.")
        return redirect("reconciliation-files")
    for note in done.notes:
        messages.warning(request, note)
    messages.success(request, _said(done))
    return redirect(
        f"{reverse('reconciliation')}?from={done.first_day}&to={done.last_day}&provider={FORMATS[done.format].provider}"
    )


def _said(done: Imported) -> str:
    said = f"{FORMATS[done.format].title}: {done.lines:,} {'line' if done.lines == 1 else 'lines'}, "
    said += f"{range_words(done.first_day, done.last_day)}."
    if done.replaced_days:
        days = "1 day" if done.replaced_days == 1 else f"{done.replaced_days:,} days"
        said += f" It takes the place of {days} of an earlier import."
    return said


@page(EDIT, "GET", "HEAD", "POST")
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    found = next(iter(selector.files(only=pk)), None)
    if found is None:
        raise Http404("There is no such statement.")
    if found.withdrawn_at is not None:
        messages.info(request, "This file was withdrawn before.")
        return redirect("reconciliation-files")
    form = WithdrawForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            statements.withdraw(
                file_id=pk, reason=form.cleaned_data["reason"], by=access.label(request.user), at=timezone.now()
            )
        except Invalid as error:
            form.show(error.problems)
        except statements.AlreadyWithdrawn as error:
            messages.info(request, str(error))
            return redirect("reconciliation-files")
        else:
            messages.success(request, f"{found.file_name} counts no more. What it took the place of counts again.")
            return redirect("reconciliation-files")
    context = {"found": found, "form": form, "range_words": range_words(found.first_day, found.last_day)}
    return render(
        request, "dashboards/reconciliation_withdraw.html", context, status=422 if request.method == "POST" else 200
    )
