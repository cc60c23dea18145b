"""How long the console's pages take at ten million entries over twelve months, and whether that is longer than at one.

Two houses of one company (`year.py`) are asked for every page in turn, so that a slow minute of the machine hits both.
Each is served by Django's WSGI callable in a process of its own, warm and settled as the web process is; the clock runs
from the request to the last byte. What a route answers with 200 and HTML is a page; those of sums also stand for their
longest range. Beside the clock stands the processor time of that process and its process of PostgreSQL, which other
work on the machine hardly moves; parallel workers of a query are not in it.

python -m controlplane.bench.pages serves one house over pipes: a line with an address, a line with what came of it.
"""

from __future__ import annotations

import io
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, LiteralString
from urllib.parse import unquote, urlsplit

import psutil
import psycopg
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings
from django.utils import timezone
from psycopg import sql

from controlplane.bench.main import Figure
from controlplane.embedded.servers import temporary_dir

ROUNDS = 7
# Of seven openings the slowest is all that p95 can be: a page that took as long once is opened as often as this.
SLOW_SECONDS, SLOW_ROUNDS = 0.2, 40
_NAME, _COMPANY, _FILLING = "year_", "year_founded", "year_filling"  # databases
# Pages of sums with the longest range that people ask for; all but {month} are days.
LONG = (
    "/?month={month}",
    "/spend/?from={year}&to={today}",
    "/spend/?from={year}&to={today}&per=month&by=model",
    "/spend/?from={year}&to={today}&per=week&by=team&measure=tokens",
    "/spend/?from={year}&to={today}&by=use_case&then=model",
    "/spend/?from={year}&to={today}&by=use_case&use_case=support-routing",
    "/spend/?from={week}&to={today}&per=hour&by=model",
    "/routing/?from={months}&to={today}",
    "/routing/?from={months}&to={today}&source=task&measure=cost",
    "/rules/production/hits/?days=30",
    "/savings/?from={year}&to={today}",
)
DAYS_OF = {"year": 365, "months": 124, "week": 7}  # {months}: the most that the routing page draws


@dataclass(kw_only=True)
class Page:
    """What was measured of one page: seconds by house, the smaller first, and the queries that it makes."""

    address: str
    name: str
    seconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    processor: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    queries: int = 0

    @property
    def ratio(self) -> float:
        """How the larger house's median compares with the smaller one's."""
        return statistics.median(self.seconds[1]) / statistics.median(self.seconds[0])


class Served:
    """A house that answers for its pages; see this module."""

    def __init__(self, database_url: str, *, redis: int, static: Path) -> None:
        # A database of Redis for each: what is cached of a month of one house is not the other's.
        beside = {"DATABASE_URL": database_url, "REDIS_URL": f"{settings.REDIS_URL}?db={redis}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "controlplane.bench.pages"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **beside, "BENCH_STATIC": str(static), "TOLLKEEPER_LOG_LEVEL": "ERROR"}, text=True,
        )  # fmt: skip

    def ask(self, line: str) -> Any:
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None and pipe_out is not None  # noqa: PT018
        pipe_in.write(line + "\n")
        pipe_in.flush()
        answer = pipe_out.readline()
        if not answer:
            raise RuntimeError(f"the process that serves pages ended at {line}")
        return json.loads(answer)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(15)


def measure(*, entries: int) -> list[Figure]:
    """Fill two houses, which takes minutes where they are not there yet, and open every page of both."""
    small = entries // 10
    urls = _made(small, entries)
    with ExitStack() as stack:
        static = stack.enter_context(temporary_dir("tollkeeper-bench-static-"))
        with override_settings(STATIC_ROOT=static):
            call_command("collectstatic", interactive=False, verbosity=0)
        houses = [Served(url, redis=number, static=static) for number, url in enumerate(urls, start=1)]
        for house in houses:
            stack.callback(house.end)
        pages, left_out = _found(houses[1])
        for page in pages:
            for house in houses:
                house.ask(page.address)  # warm
            _time(page, houses, ROUNDS)
        for page in pages:
            if max(page.seconds[1]) >= SLOW_SECONDS:
                _time(page, houses, SLOW_ROUNDS - ROUNDS)
    return figures(pages, left_out, small=small, entries=entries)


def figures(pages: Sequence[Page], left_out: Sequence[str], *, small: int, entries: int) -> list[Figure]:
    """Make the figures of what was measured; the second one has a line for each page, the slowest first."""
    worst = sorted(pages, key=lambda page: -_p95(page.seconds[1]))
    every = [seconds for page in pages for seconds in page.seconds[1][:ROUNDS]]  # of each page as many
    sums = [sum(statistics.median(page.seconds[house]) for page in pages) for house in (0, 1)]
    worked = [sum(statistics.median(page.processor[house]) for page in pages) for house in (0, 1)]
    return [
        Figure(
            what=f"a page of the console at {entries:,} entries, p95 over all {len(pages)}",
            value=_p95(every), unit="s", limit=0.3, aim=0.1, better="less",
            note=f"median {statistics.median(every) * 1000:.0f} ms"
            + (f"; no page of these was there to open: {', '.join(left_out)}" if left_out else ""),
        ),
        Figure(
            what=f"the slowest page at {entries:,} entries, p95",
            value=_p95(worst[0].seconds[1]), unit="s", limit=0.3, aim=0.1, better="less",
            note="every page: median, p95 and median of processor time in ms; queries; its median against that of the "
            "smaller house",
            lines=[_line(page) for page in worst],
        ),
        Figure(
            what=f"page times at {entries:,} entries against those at {small:,}",
            value=sums[1] / sums[0], unit="", limit=1.1, aim=1, better="less",
            note=f"all pages once: {sums[1]:.2f} s of {sums[0]:.2f} s; median of the pages' ratios "
            f"{statistics.median(page.ratio for page in pages):.3f}; of processor time {worked[1]:.2f} s of "
            f"{worked[0]:.2f} s, {worked[1] / worked[0]:.3f}",
        ),
    ]  # fmt: skip


def _line(page: Page) -> str:
    milliseconds = (
        statistics.median(page.seconds[1]), _p95(page.seconds[1]), statistics.median(page.processor[1])
    )  # fmt: skip
    columns = "".join(f"{seconds * 1000:7.0f}" for seconds in milliseconds)
    return f"{columns}{page.queries:5}{page.ratio:7.2f}  {page.address}"


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[-(-len(values) * 95 // 100) - 1]


def _found(house: Served) -> tuple[list[Page], list[str]]:
    """Find every page by opening what its route leads to; also the names of routes that led nowhere."""
    pages, left_out = [], []
    for one in house.ask("routes"):
        if one["address"]:
            pages.append(Page(address=one["address"], name=one["name"]))
        elif one["status"] != 405:  # those only take what is sent to them
            left_out.append(one["name"])
    for address in house.ask("long"):
        answer = house.ask(address)
        if answer["status"] == 200:
            pages.append(Page(address=address, name=address))
        else:
            left_out.append(address)
    return pages, left_out


def _time(page: Page, houses: Sequence[Served], rounds: int) -> None:
    for _ in range(rounds):
        for house, seconds, processor in zip(houses, page.seconds, page.processor, strict=True):
            answer = house.ask(page.address)
            seconds.append(answer["seconds"])
            processor.append(answer["processor"])
            page.queries = answer["queries"]


def _made(small: int, entries: int) -> list[str]:
    """Return the addresses of two houses: made once as one company, copied and filled, where they are not there yet.

    A database has its name once it is whole, so what was interrupted is made anew.
    """
    sizes = (small, entries)
    with psycopg.connect(settings.DATABASE_URL, dbname="postgres", autocommit=True) as connection:
        there = {name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()}
        missing = [size for size in sizes if f"{_NAME}{size}" not in there]
        if missing:
            for name in (_COMPANY, _FILLING):
                connection.execute(_sql("DROP DATABASE IF EXISTS {}", name))
            connection.execute(_sql("CREATE DATABASE {}", _COMPANY))
            _run("controlplane.bench.year", "0", database=_COMPANY)
        for size in missing:
            connection.execute(_sql("CREATE DATABASE {} TEMPLATE {}", _FILLING, _COMPANY))
            _run("controlplane.bench.year", str(size), database=_FILLING)
            connection.execute(_sql("ALTER DATABASE {} RENAME TO {}", _FILLING, f"{_NAME}{size}"))
        if missing:
            connection.execute(_sql("DROP DATABASE {}", _COMPANY))
    for size in sizes:
        _run("django", "migrate", "--verbosity=0", database=f"{_NAME}{size}")  # those that were kept may be older
    return [_url(f"{_NAME}{size}") for size in sizes]


def _sql(text: LiteralString, *names: str) -> sql.Composed:
    return sql.SQL(text).format(*map(sql.Identifier, names))


def _url(database: str) -> str:
    return urlsplit(settings.DATABASE_URL)._replace(path=f"/{database}").geturl()


def _run(module: str, *arguments: str, database: str) -> None:
    subprocess.run(  # noqa: S603 (our own commands)
        [sys.executable, "-m", module, *arguments], env={**os.environ, "DATABASE_URL": _url(database)}, check=True
    )


def serve(lines: IO[str], answers: IO[str]) -> None:
    """Answer for the pages of DATABASE_URL's house. Needs Django."""
    from django.core.wsgi import get_wsgi_application

    from controlplane import memory

    if "BENCH_STATIC" in os.environ:
        settings.STATIC_ROOT = Path(os.environ["BENCH_STATIC"])
    house = _House(get_wsgi_application())
    logging.getLogger("django.request").setLevel(logging.ERROR)  # routes that lead nowhere are told of in the figures
    memory.settle()
    for line in lines:
        asked = line.strip()
        given: Any = house.routes() if asked == "routes" else house.long() if asked == "long" else house.open(asked)
        answers.write(json.dumps(given) + "\n")
        answers.flush()


class _House:
    """Opens pages as the demo's admin, who may see all of them."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._cookie = _signed_in()

    def routes(self) -> list[dict[str, Any]]:
        from controlplane.bench import addresses

        return [self._page_of(route, name, addresses.filled(route)) for route, name in addresses.routes()]

    def _page_of(self, route: str, name: str, candidates: Iterator[str]) -> dict[str, Any]:
        status = 404
        for address in candidates:
            answer = self.open(address)
            status = answer["status"]
            if status == 200:
                is_page = answer["type"].startswith("text/html")
                return {"name": name, "address": address if is_page else "", "status": 200 if is_page else 405}
            if status == 405:
                break
        return {"name": name or route, "address": "", "status": status}

    def long(self) -> list[str]:
        today = timezone.now().date()
        given = {
            "today": today.isoformat(), "month": f"{today.replace(day=1) - timedelta(days=1):%Y-%m}",
            **{name: (today - timedelta(days=days - 1)).isoformat() for name, days in DAYS_OF.items()},
        }  # fmt: skip
        return [address.format(**given) for address in LONG]

    def open(self, address: str) -> dict[str, Any]:
        """Return status and type of an answer, its seconds by the clock and of processor time, and its queries."""
        path, _, query = address.partition("?")
        counted = _Counted()
        said: list[Any] = []
        with counted.counting():
            before = _processor_seconds()
            started = time.perf_counter()
            answer = self._application(_environ(path, query, self._cookie), lambda *given: said.append(given))
            for _ in answer:
                pass
            answer.close()
            seconds = time.perf_counter() - started
            processor = _processor_seconds() - before
        headers = {name.lower(): value for name, value in said[0][1]}
        return {
            "status": int(said[0][0].split()[0]), "type": headers.get("content-type", ""),
            "seconds": seconds, "processor": processor, "queries": counted.queries,
        }  # fmt: skip


class _Counted:
    def __init__(self) -> None:
        self.queries = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        from django.db import connection

        def wrapper(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
            self.queries += 1
            return execute(sql, params, many, context)

        with connection.execute_wrapper(wrapper):
            yield


def _processor_seconds() -> float:
    """Return the processor time that this process and its process of PostgreSQL have had; it is on this machine."""
    from django.db import connection

    connection.ensure_connection()
    server = connection.connection.info.backend_pid
    try:
        nanoseconds = int(Path(f"/proc/{server}/schedstat").read_text().split()[0])
    except OSError:  # another system: to a hundredth of a second
        times = psutil.Process(server).cpu_times()
        return time.process_time() + times.user + times.system
    return time.process_time() + nanoseconds / 1e9


def _environ(path: str, query: str, cookie: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": unquote(path), "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "127.0.0.1",
        "HTTP_ACCEPT": "text/html", "HTTP_ACCEPT_ENCODING": "gzip", "HTTP_COOKIE": cookie, "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip


def _signed_in() -> str:
    from django.contrib.auth import get_user_model
    from django.test import Client

    from controlplane import seed

    client = Client()
    client.force_login(get_user_model().objects.get(email=seed.sign_in()[0]))
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


if __name__ == "__main__":
    import django

    django.setup()
    serve(sys.stdin, sys.stdout)
