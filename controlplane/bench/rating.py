"""Rating one event with the pure function, and what the same event takes elsewhere.

The event is a call of gpt-5.5 with some of its input read from a cache, priced by what genai-prices lists: a context
cliff, nine meters. `genai_prices.calc_price` and `litellm.cost_per_token` are measured in the same rounds, so that a
slow second of the machine hits all three; all of them have to come to the same cost. LiteLLM runs in an environment of
its own, which is made at the first time; where that fails, the figure says why it is missing.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

import genai_prices

from catalog.rules import METERS, Book, ListedPrice
from catalog.sources import genai
from catalog.sources.quotes import Quote
from controlplane.bench.main import Figure
from usage.rules.rating import rate, usd

ROOT = Path(__file__).resolve().parents[2]
LITELLM = ROOT / ".litellm" / "bin" / "python"
INSTALL_S = 600

CALLS = 20_000
CALLS_ELSEWHERE = 1_000  # some hundred microseconds each
ROUNDS = 7
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
_OFFERING = ("openai", "gpt-5.5", "")
UNCACHED, CACHED, OUTPUT = 1200, 1024, 85


class _Missing(Exception):
    """What is compared with is not to be had on this machine; the message says why."""


def measure() -> list[Figure]:
    ours, genai_us, litellm_us = [], [], []
    missing = ""
    expected = _ours(1)[1]
    with ExitStack() as stack:
        try:
            litellm: Callable[[int], tuple[float, Decimal]] | None = stack.enter_context(_litellm())
        except _Missing as error:
            litellm, missing = None, str(error)
        for _ in range(ROUNDS):
            ours.append(_ours(CALLS)[0])
            genai_us.append(_same(_genai(CALLS_ELSEWHERE), expected, "genai-prices"))
            if litellm is not None:
                litellm_us.append(_same(litellm(CALLS_ELSEWHERE), expected, "litellm"))
    one = statistics.median(ours)
    figures = [Figure(what="rating one event", value=one, unit="us", limit=10, aim=3, better="less")]
    for what, rounds in (("genai_prices.calc_price", genai_us), ("litellm.cost_per_token", litellm_us)):
        value = statistics.median(rounds) if rounds else None
        note = (
            missing
            if value is None
            else f"{value / one:,.0f} times as long, for the same cost of {expected.normalize():f} USD"
        )
        figures.append(Figure(what=f"the same event with {what}", value=value, unit="us", better="less", note=note))
    return figures


def _same(measured: tuple[float, Decimal], expected: Decimal, name: str) -> float:
    """Return the time; what comes to another cost was given another event, and its time says nothing."""
    took, cost = measured
    if not math.isclose(cost, expected, rel_tol=1e-9):
        raise RuntimeError(f"{name} says that the event costs {cost} USD, and it costs {expected}")
    return took


def _ours(calls: int) -> tuple[float, Decimal]:
    book = Book()
    book.listed = {(1, ""): _listed()}
    timestamp = AT.timestamp()
    meters = (UNCACHED, CACHED, 0, 0, OUTPUT, 0, 0, 0, 0, 1, 0)
    start = time.perf_counter()
    for _ in range(calls):
        rated = rate(book=book, offering=1, service_tier="", timestamp=timestamp, meters=meters)
    took = (time.perf_counter() - start) / calls * 1e6
    if rated.cost is None:
        raise RuntimeError("the event has no price")
    return took, usd(rated.cost)


@cache
def _listed() -> tuple[ListedPrice, ...]:
    found = (one for one in genai.read().quotes if (one.provider, one.model, one.service_tier) == _OFFERING)
    return tuple(_as_listed(number, quote) for number, quote in enumerate(found))


def _as_listed(number: int, quote: Quote) -> ListedPrice:
    return ListedPrice(
        id=number, meter=METERS.index(quote.meter), usd_per_1m=quote.usd_per_1m,
        scaled=int(quote.usd_per_1m.scaleb(10)), starts_at=quote.valid_from, ends_at=quote.valid_until,
        context_over=quote.context_over, context_inclusive=quote.context_inclusive, service_tier="",
    )  # fmt: skip


def _genai(calls: int) -> tuple[float, Decimal]:
    start = time.perf_counter()
    for _ in range(calls):
        usage = genai_prices.Usage(input_tokens=UNCACHED + CACHED, cache_read_tokens=CACHED, output_tokens=OUTPUT)
        found = genai_prices.calc_price(usage, "gpt-5.5", provider_id="openai", genai_request_timestamp=AT)
    return (time.perf_counter() - start) / calls * 1e6, found.total_price


@contextmanager
def _litellm() -> Iterator[Callable[[int], tuple[float, Decimal]]]:
    """Run LiteLLM beside us: what is given calls it so many times.

    Raises:
        _Missing: it could not be installed or started.
    """
    _install()
    event = {
        "model": "gpt-5.5", "custom_llm_provider": "openai", "prompt_tokens": UNCACHED + CACHED,
        "cache_read_input_tokens": CACHED, "completion_tokens": OUTPUT,
    }  # fmt: skip
    with subprocess.Popen(  # noqa: S603 (our own script)
        [str(LITELLM), "-P", str(Path(__file__).with_name("litellm_calls.py")), json.dumps(event)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        if stdin is None or stdout is None or stderr is None:
            raise RuntimeError("pipes were asked for")

        def call(calls: int) -> tuple[float, Decimal]:
            try:
                stdin.write(f"{calls}\n")
                stdin.flush()
                line = stdout.readline()
            except OSError:
                line = ""
            if not line:
                raise _Missing(f"LiteLLM does not run: {_end(stderr.read())}")
            found = json.loads(line)
            return found["us"], Decimal(repr(found["usd"]))

        try:
            call(1)  # imports, and fills its caches
            yield call
        finally:
            process.terminate()


def _install() -> None:
    try:
        done = subprocess.run(  # noqa: S603 (our own script)
            [sys.executable, str(ROOT / "requirements" / "install.py"), "litellm"],
            capture_output=True, text=True, timeout=INSTALL_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Missing(f"LiteLLM could not be installed: {error}") from error
    if done.returncode:
        raise _Missing(f"LiteLLM could not be installed: {_end(done.stderr)}")


def _end(text: str) -> str:
    """Return the end of what a process said, on one line."""
    return " ".join(text.split())[-300:] or "it said nothing"
