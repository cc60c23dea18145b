"""Tables of pages as files: `?as=csv` or `?as=xlsx` behind a page's own address, with exactly its filters.

A page that shows a table says what its file holds:

    @page("view")
    @offers(_table)
    def budgets_page(request): ...

    def _table(request) -> Table: ...

`offers` stands below `page`, so whoever may not see the page gets no file of it. The function is given what the view is
given, without `as` and the marks of paging in its query: a file has all lines, not those of one page. Refusals are
answers, too: it raises `Refused` (or `Invalid`) with sentences, and the file is a 400. In the page,
`{% load downloads %}{% downloads %}` gives the links. A view that needs more than this calls `download` itself.

# Note [Long files]
A file is sent while its lines are read, so nothing says in its middle that there are too many. A list that can grow
long says so before its first line: its `Table` has `longer_than`, and a file of more lines than `MOST_LINES` is
refused, with what to do instead. No file is ever cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import wraps
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.text import get_valid_filename

from core import sheets
from core.errors import Invalid
from core.large_files import NOT_WHOLE, Lines, OthersFirst, not_cut
from dashboards import workbooks
from dashboards.workbooks import DAY, INSTANT, NUMBER, SHARE, TEXT, USD, Column
from usage.focus.files import gzipped

__all__ = [
    "CSV", "DAY", "INSTANT", "KINDS", "MOST_LINES", "NUMBER", "SHARE", "TEXT", "USD", "XLSX", "Column", "Refused",
    "Table", "columns", "come_again", "days_words", "download", "offers", "refused", "send",
]  # fmt: skip

CSV, XLSX = "csv", "xlsx"
KINDS = (CSV, XLSX)
MOST_LINES = {CSV: 1_000_000, XLSX: 100_000}  # see Note [Long files]
PARAMETER = "as"
PAGING = ("after", "before", "page")  # where in a list a page stands
_TYPES = {
    CSV: "text/csv; charset=utf-8",
    XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_CHUNK = 64_000  # characters
_LEVEL = 2  # of compression: three times as quick as the usual one
_EXACTLY = "Columns whose names end in _exact hold the same amounts as text, with every digit: Excel keeps 15 of them."


class Refused(Invalid):
    """What the address asks for is no table; `problems` are the sentences that its page says, too."""

    def __init__(self, sentences: Iterable[str]) -> None:
        said = list(sentences)
        super().__init__(" ".join(said), [("", each) for each in said])


@dataclass(frozen=True, kw_only=True)
class Table:
    """What a page shows, as a file: `name` is the file's without its ending, `facts` go on the sheet "About".

    `longer_than` says whether there are more lines than a number. See Note [Long files].
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Iterable[Sequence[Any]]
    facts: Sequence[tuple[str, Any]] = ()
    longer_than: Callable[[int], bool] | None = None


def columns(*names: str) -> list[Column]:
    """Return columns by names that say what stands in them: `cost_usd`, `priced_share`, `created_at`, `first_day`."""
    return [Column(name, next((kind for end, kind in _ENDS.items() if name.endswith(end)), TEXT)) for name in names]


_ENDS = {
    "_usd": USD, "_share": SHARE, "_at": INSTANT, "_from": INSTANT, "_until": INSTANT, "_day": DAY, "_on": DAY,
    "per_cent": NUMBER, "tokens": NUMBER, "requests": NUMBER,
}  # fmt: skip


def download(
    *,
    name: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Any]],
    kind: str,
    about: Sequence[tuple[str, Any]] = (),
) -> StreamingHttpResponse:
    """Send a table as a file of a kind in `KINDS`; `rows` may be an iterator, and memory does not grow with it.

    Each row has a value per column: text, int, Decimal, bool, date, an aware datetime, or None for nothing. CSV is
    UTF-8 by RFC 4180 with every digit and instants in UTC; names that a spreadsheet would run as a formula are text
    there (`core.sheets`). XLSX has instants on the clock of the current zone, money as `workbooks` notes, and `about`
    on a sheet of its own. Both are sent while they are made. The first rows are asked for before this returns, so that
    what fails at once is an error and not half a file; what fails later ends a CSV file with a line that says so, and a
    workbook where no program can open it.

    Raises:
        OthersFirst: there are many rows, and large files enough are being made.
    """
    if kind not in KINDS:
        raise ValueError(kind)
    lines = Lines(rows)
    if kind == CSV:
        pieces: Iterator[Any] = not_cut(_csv(columns, lines), NOT_WHOLE)
    else:
        zone = timezone.get_current_timezone()
        pieces = workbooks.written(columns=columns, rows=lines, about=about, zone=zone)
    answer = StreamingHttpResponse(
        pieces,
        content_type=_TYPES[kind],
        headers={"Content-Disposition": content_disposition_header(True, f"{get_valid_filename(name)}.{kind}") or ""},
    )
    # Also where nobody takes a line: a generator that was never begun has no end.
    answer._resource_closers.append(lines.close)  # type: ignore[attr-defined]
    return answer


def _csv(columns: Sequence[Column], rows: Iterator[Sequence[Any]]) -> Iterator[str]:
    writer = sheets.writer()
    chunk = [writer.writerow([column.name for column in columns])]
    held = 0
    for row in rows:
        line = writer.writerow([_cell(value) for value in row])
        chunk.append(line)
        held += len(line)
        if held > _CHUNK:
            yield "".join(chunk)
            chunk, held = [], 0
    yield "".join(chunk)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return sheets.cell(value)


# --- pages ---

View = Callable[..., HttpResponseBase]


def offers(table: Callable[..., Table]) -> Callable[[View], Any]:
    """Make a page answer `?as=csv` and `?as=xlsx` with what `table` gives; see the module."""

    def decorate(view: View) -> View:
        @wraps(view)
        def offered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            kind = request.GET.get(PARAMETER)
            if kind is None or request.method not in ("GET", "HEAD"):
                return view(request, *args, **kwargs)
            request.GET = asked(request)
            if kind not in KINDS:
                return refused(request, [f"There is no file {kind!r} of this page: csv, xlsx."])
            try:
                return send(request, table(request, *args, **kwargs), kind)
            except Invalid as error:
                return refused(request, [sentence for _, sentence in error.problems] or [str(error)])

        return offered

    return decorate


def asked(request: HttpRequest) -> Any:
    """Return the query of a page as its files take it: all that is asked, whatever part of it was shown."""
    query = request.GET.copy()
    for name in (PARAMETER, *PAGING):
        query.pop(name, None)
    return query


def send(request: HttpRequest, table: Table, kind: str) -> HttpResponseBase:
    """Send a table, with who made it, when and from which address on its sheet "About"."""
    zone = timezone.get_current_timezone_name()
    facts = [
        ("Table", table.title),
        *table.facts,
        ("Zone", f"{zone}: days begin there at midnight, and times are on its clock"),
        ("Made at", timezone.now()),
        ("Made by", str(request.user)),
        ("From", request.build_absolute_uri(_address(request))),
    ]
    if any(column.kind == USD for column in table.columns):
        facts.append(("Exact amounts", _EXACTLY))
    if table.longer_than and table.longer_than(MOST_LINES[kind]):
        return _too_long(request, kind)
    try:
        answer = download(name=table.name, columns=table.columns, rows=table.rows, kind=kind, about=facts)
    except OthersFirst as error:
        return come_again(request, error)
    return _packed(request, answer) if kind == CSV else answer


def _packed(request: HttpRequest, answer: StreamingHttpResponse) -> StreamingHttpResponse:
    """Compress a CSV file on its way, to a quarter or less: what its reader has not yet taken is kept in memory."""
    answer["Vary"] = "Accept-Encoding"
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        answer["Content-Encoding"] = "gzip"
        answer.streaming_content = gzipped(cast("Iterator[bytes]", answer.streaming_content), _LEVEL)
    return answer


def come_again(request: HttpRequest, error: OthersFirst, *, page_url: str = "") -> HttpResponse:
    answer = _told(request, [str(error)], 429, "Not at this moment", page_url, again_url=request.get_full_path())
    answer["Retry-After"] = str(error.retry_after_seconds)
    return answer


def refused(
    request: HttpRequest, sentences: Sequence[str], *, page_url: str = "", status: int = 400, csv_url: str = ""
) -> HttpResponse:
    """Say why there is no file, and lead back to the page; `csv_url` is a file that there is."""
    return _told(request, sentences, status, "There is no such file", page_url, csv_url=csv_url)


def _too_long(request: HttpRequest, kind: str) -> HttpResponse:
    fewer = "Ask for fewer days, or add a filter."
    if kind == CSV:
        return refused(request, [f"A CSV file has {MOST_LINES[CSV]:,} lines at most, and this has more. {fewer}"])
    sentence = f"A workbook has {MOST_LINES[kind]:,} lines at most, and this has more."
    query = asked(request)
    query[PARAMETER] = CSV
    return refused(
        request,
        [f"{sentence} CSV goes on to {MOST_LINES[CSV]:,}. {fewer}"],
        csv_url=f"{request.path}?{query.urlencode()}",
    )


def _told(
    request: HttpRequest, sentences: Sequence[str], status: int, title: str, page_url: str, **urls: str
) -> HttpResponse:
    """Answer a person with a page, and a program with a sentence."""
    if "text/html" not in request.headers.get("Accept", ""):
        return HttpResponse(" ".join(sentences), status=status, content_type="text/plain; charset=utf-8")
    back = page_url or f"{request.path}?{asked(request).urlencode()}"
    context = {"title": title, "sentences": sentences, "page_url": back, **urls}
    return HttpResponse(render_to_string("no_file.html", context), status=status)


def _address(request: HttpRequest) -> str:
    query = request.GET.urlencode()
    return f"{request.path}?{query}" if query else request.path


def days_words(first: date, last: date) -> tuple[str, str]:
    """Return a range of days as a fact; both days are in it."""
    return "Days", f"{first} to {last}, both included"
