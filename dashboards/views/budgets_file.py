"""The file of budgets for finance: out, in a spreadsheet, and back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from budgets import sheets
from budgets.selectors import sheets as selector
from budgets.services import sheets as service
from budgets.tasks import tell
from core import access
from core.errors import Conflict, Invalid
from dashboards.forms_budgets import ConfirmForm, FileForm
from dashboards.views.access import page
from dashboards.views.budgets_words import full, short

EDIT = "limits.approve"
MOST_SHOWN = 500
# What stands in which column; those that may be empty for a budget that is known are marked.
COLUMNS = (
    ("budget", "Its name. One that is not known is a new budget"),
    ("period", "Kind and first day, such as month 2026-12-01; month later is what holds after those"),
    ("limit", "The only column to be changed of a known budget: 2000000 or 1250.50. Empty: as it is"),
    ("used", "What the present period used so far; never read"),
    ("unit", "frontier_tokens, tokens, usd or requests"),
    ("scope", "What it covers: use_case=support|billing; model=gpt-5.5, or everything"),
    ("zone", "Time zone. Empty for a new one: the organisation's"),
    ("fiscal_start_month", "1 to 12. Empty for a new one: 1"),
    ("action", "alert, downgrade or block. Empty for a new one: alert"),
    ("trial", "yes or no. Empty for a new one: no"),
    ("thresholds", "Per cents with spaces between them. Empty for a new one: 70 90 100"),
    ("forecast_thresholds", "Per cents with spaces between them, or empty"),
    ("owner", "Who is asked about it"),
)


@page("view")
def download(request: HttpRequest) -> Any:  # Django tells answers that stream apart from others
    return StreamingHttpResponse(
        sheets.written(selector.rows(at=timezone.now())),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="budgets.csv"'},
    )


@page("view")
def file_page(request: HttpRequest) -> HttpResponse:
    return _page(request, FileForm())


def _page(
    request: HttpRequest,
    form: FileForm,
    *,
    wrong: list[sheets.Problem] | None = None,
    compared: service.Comparison | None = None,
    confirm: ConfirmForm | None = None,
    status: int = 200,
) -> HttpResponse:
    wrong = wrong or []
    changes = compared.changes if compared else ()
    context = {
        "form": form,
        "confirm": confirm,
        "compared": compared,
        "changes": [
            (one, short(one.unit, one.before), full(one.unit, one.before), short(one.unit, one.after),
             full(one.unit, one.after))
            for one in changes[:MOST_SHOWN]
        ],
        "more_changes": max(len(changes) - MOST_SHOWN, 0),
        "wrong": wrong[:MOST_SHOWN],
        "more_wrong": max(len(wrong) - MOST_SHOWN, 0),
        "columns": COLUMNS,
        "may_import": request.user.has_perm(EDIT),
        "largest_kilobytes": sheets.LARGEST_BYTES // 1000,
        "most_rows": sheets.MOST_ROWS,
    }  # fmt: skip
    return render(request, "dashboards/budget_file.html", context, status=status)


@page(EDIT, "POST")
def check(request: HttpRequest) -> HttpResponse:
    """Show what an uploaded file would change; nothing is written."""
    form = FileForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form, status=422)
    file = form.cleaned_data["file"]
    if file is None or file.size > sheets.LARGEST_BYTES:
        said = (
            "Choose a file."
            if file is None
            else f"The file has {file.size:,} bytes; {sheets.LARGEST_BYTES:,} is the most."
        )
        form.show([("file", said)])
        return _page(request, form, status=422)
    return _shown(request, file.read(), form)


@page(EDIT, "POST")
def confirm(request: HttpRequest) -> HttpResponse:
    """Write what was shown."""
    form = ConfirmForm(request.POST)
    if not form.is_valid():
        return _page(request, FileForm(), status=422)
    content, by = form.cleaned_data["content"].encode(), access.label(request.user)
    try:
        written = service.write(
            content=content, digest=form.cleaned_data["digest"], reason=form.cleaned_data["reason"], by=by,
            approved_by=by, at=timezone.now(),
        )  # fmt: skip
    except Invalid as error:
        return _shown(request, content, FileForm(), problems=error.problems or [("", str(error))])
    except Conflict as error:
        return _shown(request, content, FileForm(), problems=[("", str(error))])
    if not written.changes:
        messages.info(request, "All of that holds already. Nothing was written.")
        return redirect("budgets-file")
    tell()
    said = f"{len(written.changes)} limit{'s were' if len(written.changes) > 1 else ' was'} written"
    if written.new_budgets:
        said += f", with {len(written.new_budgets)} new budget{'s' if len(written.new_budgets) > 1 else ''}"
    messages.success(request, f"{said}.")
    return redirect("budgets")


def _shown(
    request: HttpRequest, content: bytes, form: FileForm, *, problems: list[tuple[str, str]] | None = None
) -> HttpResponse:
    """Show what a file would change, with the form that confirms it, or what is wrong with it."""
    try:
        compared = service.compare(content=content, at=timezone.now())
    except service.Wrong as error:
        return _page(request, _refused(str(error)), wrong=list(error.rows), status=422)
    except Invalid as error:
        return _page(request, _refused(str(error)), status=422)
    held = {"content": content.decode("utf-8-sig"), "digest": compared.digest, "reason": request.POST.get("reason", "")}
    confirm = ConfirmForm(held) if problems else ConfirmForm(initial=held)
    if problems:
        confirm.show(problems)
    return _page(request, form, compared=compared, confirm=confirm, status=422 if problems else 200)


def _refused(sentence: str) -> FileForm:
    form = FileForm({}, {})
    form.show([("file", sentence)])
    return form
