"""Tables of prices from outside: read, compared with the book, and accepted or rejected by a person.

Reading prices nothing. Accepting shows first what it does to the past, as every change of the book does.
"""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from catalog.selectors import proposals
from catalog.services import imports
from core import access
from core.errors import Conflict, Invalid, Malformed, TooLarge
from dashboards.downloads import Table, offers
from dashboards.forms_prices import UploadForm
from dashboards.views import files_books
from dashboards.views.access import page
from dashboards.views.links import number
from dashboards.views.prices import METERS

LARGEST_FILE_BYTES = 16 * 1024 * 1024
IMPORTS_PER_PAGE = 50
INSTALLED = "genai-prices"
KINDS = {
    "new": ("info", "New", "Offerings that have no price in the book."),
    "changed": ("warning", "Changed", "The table says something else than the book."),
    "gone": ("neutral", "Gone", "Offerings that the table listed once and lists no more. Accepting ends their prices."),
    "disputed": (
        "danger",
        "Disputed",
        "The table agrees with the book, and another one differs by over 1 per cent.",
    ),
}
# The columns of a CSV file: their names, whether they are needed, what stands in them.
COLUMNS = (
    (
        "offering",
        True,
        "The model at its provider, such as gpt-5.5@openai; or model and provider in columns of their own",
    ),
    ("meter", True, f"One of {', '.join(METERS)}"),
    ("usd_per_1m", True, "USD per million of the meter, such as 0.125"),
    ("valid_from", False, "A day of the organisation's zone or an instant with its offset. Empty: from acceptance on"),
    ("valid_until", False, "When it ends; that day is not part of it"),
    ("context_over", False, "Tokens of input above which all of a request is priced so, such as 200000"),
    ("context_inclusive", False, "yes where a request of exactly so many belongs to the tier"),
    ("service_tier", False, "batch, flex, priority; empty for standard"),
    ("region", False, "Where the price is for one region only"),
    ("hours_zone, hours_from, hours_until", False, "Hours on a zone's clock, such as Asia/Shanghai, 00:30, 08:30"),
    ("weekdays", False, "Days on which the hours begin, such as mon-fri or sat sun; empty for all"),
    ("note", False, "Kept with the price"),
    ("source_url", False, "Where the figure can be seen"),
)
SAMPLE = """\
offering,meter,usd_per_1m,valid_from,context_over,service_tier,note,source_url
gpt-5.5@openai,uncached_input,5,2026-11-01,,,,https://openai.com/api/pricing/
gpt-5.5@openai,cache_read,0.5,2026-11-01,,,,https://openai.com/api/pricing/
gpt-5.5@openai,output,30,2026-11-01,,,,https://openai.com/api/pricing/
gpt-5.5@openai,uncached_input,10,2026-11-01,272000,,all of a request above 272k tokens,
gpt-5.5@openai,uncached_input,2.5,2026-11-01,,batch,,
"""
_EXAMPLES = 3


def _table(request: HttpRequest) -> Table:
    return files_books.price_imports()


@page("view")
@offers(_table)
def imports_page(request: HttpRequest) -> HttpResponse:
    return _imports(request, UploadForm(), before=number(request.GET, "before"))


def _imports(
    request: HttpRequest,
    form: UploadForm,
    *,
    before: int | None = None,
    refused: str = "",
    shrunk: bool = False,
    status: int = 200,
) -> HttpResponse:
    rows = proposals.imports(before=before, most=IMPORTS_PER_PAGE + 1)
    tables = proposals.source_tables()
    context = {
        "form": form,
        "rows": rows[:IMPORTS_PER_PAGE],
        "kinds": [(name, title) for name, (_, title, _) in KINDS.items()],
        "lines": [(row, [row.of_kind(name) for name in KINDS]) for row in rows[:IMPORTS_PER_PAGE]],
        "earlier_url": f"{reverse('prices-import')}?before={rows[IMPORTS_PER_PAGE - 1].id}"
        if len(rows) > IMPORTS_PER_PAGE
        else "",
        "first_page": before is None,
        "tables": tables,
        "installed": next((one for one in tables if one.source == INSTALLED), None),
        "installed_refused": refused,
        "shrunk": shrunk,
        "waiting": proposals.known_count(),
        "waiting_in_all": sum(one.open_proposals for one in tables),
        "may_import": request.user.has_perm("prices.edit"),
        "columns": COLUMNS,
        "largest_megabytes": LARGEST_FILE_BYTES // (1024 * 1024),
    }
    return render(request, "dashboards/prices_import.html", context, status=status)


@page("prices.edit", "POST")
def read_installed(request: HttpRequest) -> HttpResponse:
    shrunk = request.POST.get("accept_shrunk") == "on"
    try:
        return _propose(request, source=INSTALLED, accept_shrunk=shrunk)
    except (Invalid, Conflict, Malformed) as error:
        return _imports(request, UploadForm(), refused=str(error), shrunk=isinstance(error, imports.Shrunk), status=422)


@page("prices.edit", "POST")
def upload(request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return _imports(request, form, status=422)
    data = form.cleaned_data
    file = data["file"]
    try:
        if file is None:
            raise Invalid("Choose a file.", [("file", "Choose a file.")])
        if file.size > LARGEST_FILE_BYTES:
            raise TooLarge(f"The file has {file.size:,} bytes; a table of prices has {LARGEST_FILE_BYTES:,} at most.")
        return _propose(
            request,
            source=data["source"],
            content=file.read(),
            file_name=file.name,
            accept_shrunk=data["accept_shrunk"],
        )
    except (Invalid, Conflict, Malformed, TooLarge) as error:
        form.show([("file", line) for line in str(error).splitlines()])
        shrunk = isinstance(error, imports.Shrunk)
    return _imports(request, form, shrunk=shrunk, status=422)


def _propose(
    request: HttpRequest, *, source: str, content: bytes | None = None, file_name: str = "", accept_shrunk: bool
) -> HttpResponse:
    """Read a table and leave its proposals, then go to them.

    Raises:
        Malformed, Invalid, Conflict: nothing of it was taken.
    """
    table = imports.read(source=source, content=content)
    made = imports.propose(
        table=table,
        by=access.label(request.user),
        at=timezone.now(),
        file_name=file_name,
        accept_shrunk=accept_shrunk,
    )
    name = f"{made.source} {made.version}".strip()
    parts = [f"{getattr(made, kind):,} {title.lower()}" for kind, (_, title, _) in KINDS.items() if getattr(made, kind)]
    said = f"{name} was read, {made.models:,} models: {', '.join(parts) if parts else 'nothing new'}."
    if made.waiting:
        said += f" {made.waiting:,} that wait already say the same."
    if made.settled:
        said += f" {made.settled:,} were decided on before."
    if made.replaced:
        said += f" {made.replaced:,} older ones are replaced."
    if made.import_id is not None:
        messages.success(request, said)
        return redirect("prices-import-one", pk=made.import_id)
    rows = proposals.imports(most=IMPORTS_PER_PAGE) if made.waiting else []
    waits = next((row.id for row in rows if row.source == made.source and row.open), None)
    if waits is not None:
        messages.success(request, said)
        return redirect("prices-import-one", pk=waits)
    if made.problems:
        some = "; ".join(f"{one}: {why}" for one, why in made.problems[:_EXAMPLES])
        said += f" {len(made.problems):,} names could not be read in full, such as {some}"
    messages.success(request, said)
    return redirect("prices-import")


@page("view")
def sample(request: HttpRequest) -> HttpResponse:
    answer = HttpResponse(SAMPLE, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = 'attachment; filename="prices-sample.csv"'
    return answer
