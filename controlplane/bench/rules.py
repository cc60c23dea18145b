"""What a poll and a decision cost: the web process against callables that do nothing, and our evaluator.

All callables run under the same Granian with the settings of the web process, and are asked in turn by the same client,
so that a slow second of the machine hits each of them.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from django.utils import timezone

from catalog.services import gateways
from controlplane.bench import houses
from controlplane.bench.main import Figure
from controlplane.processes import WEB
from routing.models import Environment, Version
from routing.rules import document, evaluator
from routing.serving import loading

CONNECTIONS = 32
SECONDS = 1.5
ENVIRONMENT = "bench"
RULES = 500
USE_CASES = 60
OFFERINGS = (
    ("claude-opus-4.7", "anthropic", "frontier"), ("gpt-5.5", "openai", "frontier"),
    ("gemini-3.1-pro", "google", "middle"), ("claude-sonnet-4.6", "anthropic", "middle"),
    ("gpt-5-mini", "openai", "economy"), ("deepseek-v4-flash", "deepseek", "economy"),
)  # fmt: skip
TASKS = ("code", "summarisation", "extraction", "chat", "translation")
DECISIONS = 20_000
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Served:
    """The web process with 500 rules in force, and what gateways ask of it."""

    port: int
    unchanged: bytes  # the request of one that has them
    first: bytes  # and of one that has nothing


def measure(*, rounds: int) -> list[Figure]:
    return [*_polls(rounds=rounds), _decisions()]


@contextmanager
def serving() -> Iterator[Served]:
    """Serve rules as they are served to gateways; their key is new each time, the rules are put in force once."""
    key = put_in_force()
    tag = loading.served(loading.pointers(environment=ENVIRONMENT)[0]).tag
    asks = (
        f"GET /api/v1/rules/{ENVIRONMENT} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        "Accept-Encoding: gzip\r\nUser-Agent: bench\r\n"
    )
    with _callable(WEB.command[-1]) as port:
        houses.until(lambda: houses.answers(port), "the web process to answer")
        yield Served(
            port=port, unchanged=f"{asks}If-None-Match: {tag}\r\n\r\n".encode(), first=f"{asks}\r\n".encode()
        )  # fmt: skip


def put_in_force() -> str:
    """Put 500 rules in force and return a key that reads them. Safe to repeat; the key is new."""
    now = timezone.now()
    _publish(now)
    return gateways.create_key(
        name="bench rules", gateway="bench", environment=ENVIRONMENT, scopes=["rules:read"], by="manage.py bench",
        at=now,
    )  # fmt: skip


@contextmanager
def _callable(target: str, **environment: str) -> Iterator[int]:
    """Run a callable with the settings of the web process."""
    port = houses.free_port()
    argv = WEB.argv(host="127.0.0.1", port=port, data=str(Path.cwd()))
    with houses.running([*argv[:-1], target], environment=environment):
        yield port


def _polls(*, rounds: int) -> list[Figure]:
    with ExitStack() as stack:
        served = stack.enter_context(serving())
        nothing = stack.enter_context(_callable("controlplane.bench.nothing:application"))
        houses.until(lambda: _status(nothing, "/") == 304, "the callable that does nothing")
        answered = stack.enter_context(NamedTemporaryFile())
        body = _body(served)
        answered.write(body)
        answered.flush()
        same = stack.enter_context(
            _callable("controlplane.bench.nothing:the_same_bytes", TOLLKEEPER_BENCH_BODY=answered.name)
        )
        houses.until(lambda: _status(same, "/") == 200, "the callable that answers the same bytes")
        return [
            _ratio(
                "rules 304 with a key checked, against a callable that does nothing",
                (served.port, nothing), served.unchanged, status=304, rounds=rounds, limit=0.5, aim=0.75,
            ),
            _ratio(
                f"rules 200 with gzip ({len(body):,} bytes), against a callable with the same bytes",
                (served.port, same), served.first, status=200, rounds=rounds,
            ),
        ]  # fmt: skip


def _ratio(
    what: str,
    ports: tuple[int, int],
    request: bytes,
    *,
    status: int,
    rounds: int,
    limit: float | None = None,
    aim: float | None = None,
) -> Figure:
    """Ask both in turn; how much of what the second answers does the first?"""
    rates: tuple[list[float], list[float]] = ([], [])
    busy = 0.0
    for port in ports:
        ask(port, request, seconds=0.5, status=status)  # warm
    for _ in range(max(rounds, 3)):
        for port, found in zip(ports, rates, strict=True):
            asked = ask(port, request, seconds=SECONDS, status=status)
            found.append(asked["rate"])
            busy = max(busy, asked["busy"])
    ratios = [one / other for one, other in zip(*rates, strict=True)]
    ours, others = map(statistics.median, rates)
    return Figure(
        what=what,
        value=statistics.median(ratios),
        unit="",
        limit=limit,
        aim=aim,
        better="more",
        note=f"{ours:,.0f} of {others:,.0f} polls per second; ratios {', '.join(f'{ratio:.3f}' for ratio in ratios)}; "
        f"the client used {busy:.0%} of its core at most",
    )


def _body(served: Served) -> bytes:
    """Return the bytes that a gateway gets that has nothing yet."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as one:
        one.sendall(served.first)
        answer = http.client.HTTPResponse(one)
        answer.begin()
        body = answer.read()
    if answer.status != 200 or answer.getheader("Content-Encoding") != "gzip":
        raise RuntimeError(f"not the answer that is measured: {answer.status} {answer.getheaders()}")
    return body


def _decisions() -> Figure:
    rng = random.Random(20_261_120)  # noqa: S311
    compiled = evaluator.compile(_document(rng))
    contexts = [_context(rng) for _ in range(2_000)]
    decided = [compiled.decide(context, NOW) for context in contexts]
    matched = {decision.rule for decision in decided}
    took = []
    for number in range(DECISIONS):
        context = contexts[number % len(contexts)]
        start = time.perf_counter_ns()
        compiled.decide(context, NOW)
        took.append(time.perf_counter_ns() - start)
    per_cent = statistics.quantiles(took, n=100)
    return Figure(
        what=f"a decision among {RULES} rules, median",
        value=statistics.median(took) / 1000,
        unit="us",
        limit=50,
        aim=10,
        better="less",
        note=f"p99 {per_cent[98] / 1000:.1f} us; {len(matched)} different rules matched in {len(contexts)} contexts, "
        f"none in {sum(decision.rule is None for decision in decided)}",
    )


def _publish(now: datetime) -> None:
    """Put 500 rules in force, as rows: what it takes to get there is measured elsewhere. Safe to repeat."""
    if Environment.objects.filter(name=ENVIRONMENT).exists():
        return
    content = {name: _document(random.Random(1))[name] for name in document.CONTENT}  # noqa: S311
    canonical = document.canonical(content)
    environment = Environment.objects.create(name=ENVIRONMENT, created_at=now)
    Version.objects.create(
        environment=environment, number=1, canonical=canonical, sha256=document.sha256(canonical), published_at=now,
        published_by="manage.py bench", approved_by="nobody",
    )  # fmt: skip
    Environment.objects.filter(pk=environment.pk).update(live_version=1)


def _document(rng: random.Random) -> dict[str, Any]:
    """Make a document as a large organisation would have it: a few rules for each of 60 use cases, over all tiers."""
    names = [f"{model}@{provider}" for model, provider, _ in OFFERINGS]
    return {
        "spec": document.SPEC,
        "environment": ENVIRONMENT,
        "version": 1,
        "published_at": "2026-11-20T00:00:00Z",
        "rules": [_rule(rng, number, names) for number in range(RULES)],
        "default": {"targets": [{"offering": names[2], "weight": 10_000}], "fallbacks": [names[5]]},
        "offerings": {
            f"{model}@{provider}": {
                "model": model, "provider": provider, "tier": tier,
                "gateway_names": {"litellm": f"{provider}/{model}"},
            }
            for model, provider, tier in OFFERINGS
        },
        "state": {
            "revision": 1,
            "budgets": [
                {
                    "id": f"b-{number}", "match": {"use_case": [f"use-case-{number}"], "tier": ["frontier"]},
                    "state": "exceeded", "action": "downgrade", "until": "2026-12-01T00:00:00Z",
                }
                for number in range(0, USE_CASES, 6)
            ],
            "switches": [{"provider": "deepseek", "off": True, "until": "2026-11-20T13:00:00Z", "reason": "outage"}],
            "orders": {},
            "canary": None,
        },
    }  # fmt: skip


def _rule(rng: random.Random, number: int, names: list[str]) -> dict[str, Any]:
    first, second, third = rng.sample(names, 3)
    when: list[dict[str, Any]] = [{"field": "task", "op": "eq", "value": rng.choice(TASKS)}]
    if rng.random() < 0.6:
        when.append({"field": "complexity", "op": "gte", "value": f"0.{rng.randrange(10, 95)}"})
    if rng.random() < 0.3:
        when.append({"field": "user_tier", "op": "in", "value": ["paid", "trial"]})
    if rng.random() < 0.3:
        when.append({"field": "input_tokens", "op": "lt", "value": rng.choice((4_000, 32_000, 200_000))})
    if rng.random() < 0.2:
        either = [{"field": "batch", "op": "eq", "value": True}, {"field": "region", "op": "eq", "value": "eu"}]
        when.append({"any": either})
    return {
        "id": f"rule-{number}",
        "title": f"Rule {number}",
        "use_cases": [f"use-case-{number % USE_CASES}"],
        "when": {"all": when},
        "targets": [{"offering": first, "weight": 9_000}, {"offering": second, "weight": 1_000}],
        "sticky_by": "session",
        "fallbacks": [third],
        "over_budget": {"targets": [{"offering": names[2], "weight": 10_000}]},
        "rationale": "what was measured for this work in the last quarter",
        "owner": "platform",
        "review_by": "2027-02-20",
    }


def _context(rng: random.Random) -> dict[str, Any]:
    return {
        "use_case": f"use-case-{rng.randrange(USE_CASES)}",
        "team": f"team-{rng.randrange(12)}",
        "task": rng.choice(TASKS),
        "complexity": f"0.{rng.randrange(0, 100):02d}",
        "user_tier": rng.choice(("free", "paid", "trial")),
        "input_tokens": rng.randrange(50, 60_000),
        "session": f"s-{rng.randrange(10_000)}",
        "region": rng.choice(("eu", "us")),
        "gateway": "edge",
        "tags": {"env": "prod"},
    }


def ask(port: int, request: bytes, *, seconds: float, status: int = 304) -> dict[str, float]:
    """Ask a server the same over and over; returns the `rate` per second, and how `busy` the client was."""
    done = subprocess.run(  # noqa: S603 (our own commands)
        [
            sys.executable, "-m", "controlplane.bench.load", "127.0.0.1", str(port), str(seconds), str(CONNECTIONS),
            str(status),
        ],
        input=request, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-500:])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _status(port: int, path: str) -> int:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
