"""LiteLLM's own proxy sends to a running house: what its clients called is in the ledger, once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest

from controlplane.embedded.servers import temporary_dir
from tests import prepared
from tests.controlplane.conftest import bare_environment
from tests.gateways import litellm_proxy
from tests.gateways.litellm_proxy import CLIENT, Proxy
from tests.running import ROOT, Demo, eventually

pytestmark = pytest.mark.soak

# Note [What LiteLLM's callback loses]
# `generic_api` empties its queue when a batch was sent, and with it what was added while the batch was under way: at
# each flush, and all along while it tries again. Nobody but LiteLLM can help that. Here it sends when its queue holds
# this many events, and then nothing else is going on.
BATCH = 7
SECRET = "where the marmots sleep"
OK, ERROR = 1, 2
COUNTS = (176, 1024, 85, 64)  # uncached, cached, output, of which reasoning


@pytest.fixture(scope="module")
def house() -> Iterator[Demo]:
    with temporary_dir() as directory:
        prepared.lay_out(directory)
        demo = Demo(directory)
        try:
            demo.up()
            yield demo
        finally:
            demo.kill()


@pytest.fixture(scope="module")
def key(house: Demo) -> str:
    """Make a gateway whose calls are counted by what LiteLLM's callback tells, and return its key."""
    manage(house, "load_catalog")
    sends = manage(house, "create_key", "litellm", "--scope", "usage:write").splitlines()[-1]
    admin = manage(house, "create_key", "operator", "--scope", "admin").splitlines()[-1]
    api = f"http://127.0.0.1:{house.port}/api/v1/gateways"
    headers = {"Authorization": f"Bearer {admin}"}
    listed = httpx.get(api, headers=headers, timeout=30).raise_for_status().json()
    gateway = next(one["id"] for one in listed["results"] if one["name"] == "litellm")
    changed = httpx.patch(f"{api}/{gateway}", json={"accounting_format": "litellm"}, headers=headers, timeout=30)
    assert changed.status_code == 200, changed.text
    return sends


def manage(house: Demo, *arguments: str) -> str:
    """Run a command in the house as somebody at another terminal would."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, check=True, capture_output=True, text=True,
        env=bare_environment(TOLLKEEPER_DATA_DIR=str(house.data_dir)),
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def proxy(house: Demo, key: str, tmp_path) -> Iterator[Proxy]:
    litellm_proxy.install()
    address = f"http://127.0.0.1:{house.port}"
    with litellm_proxy.provider() as provider:

        def deployment(group: str, model: str, **more: Any) -> dict[str, Any]:
            params = {"model": f"openai/{model}", "api_base": provider, "api_key": "none", **more}
            return {"model_name": group, "litellm_params": params, "model_info": {"id": f"deployment-{group}"}}

        config = {
            "model_list": [
                deployment("good", "gpt-5.5"),
                deployment("flaky", "down"),
                deployment("broken", "down"),
                deployment("embedding", "text-embedding-3-small"),
            ],
            "litellm_settings": {
                "callbacks": ["tollkeeper", "otel"],
                "num_retries": 0,
                "fallbacks": [{"flaky": ["good"]}],
            },
            "router_settings": {"disable_cooldowns": True},
            "callback_settings": {
                "tollkeeper": {
                    "callback_type": "generic_api",
                    "endpoint": f"{address}/api/v1/usage/litellm",
                    "headers": {"Authorization": f"Bearer {key}"},
                    "max_retries": 60,
                    "retry_delay": 1,
                    "timeout": 10,
                }
            },
        }
        with litellm_proxy.proxy(
            config,
            tmp_path,
            LITELLM_OTEL_V2="true",
            OTEL_EXPORTER="otlp_http",
            OTEL_ENDPOINT=address,
            OTEL_HEADERS=f"Authorization=Bearer {key}",
            DEFAULT_BATCH_SIZE=str(BATCH),
            DEFAULT_FLUSH_INTERVAL_SECONDS="3600",
            OTEL_BSP_SCHEDULE_DELAY="500",
        ) as running:
            yield running


def chat(proxy: Proxy, group: str, *, tags: Sequence[str] = (), **more: Any) -> httpx.Response:
    body = {"model": group, "messages": [{"role": "user", "content": SECRET}], **more}
    if tags:
        body["metadata"] = {"tags": list(tags)}
    return httpx.post(f"{proxy.base_url}/v1/chat/completions", json=body, headers=CLIENT, timeout=60)


def ask(house: Demo, sql: str) -> list[tuple[Any, ...]]:
    """Ask the house's database; nothing where it is away."""
    with suppress(psycopg.OperationalError), psycopg.connect(house.database_url()) as connection:
        return connection.execute(sql).fetchall()  # type: ignore[arg-type]
    return []


class Entry(NamedTuple):
    said: tuple[Any, ...]  # use case, asked for, served by, status, uncached, cached, output, reasoning, fallback, rule
    call_group: str
    cost_usd: Decimal
    reported_cost_usd: Decimal


def entries(house: Demo, table: str) -> list[Entry]:
    """Return what is booked, in the order in which the calls ended."""
    rows = ask(
        house,
        "SELECT call_group, cost_usd, reported_cost_usd, u.name, requested_model, o.name, status, "
        "uncached_input_tokens, cache_read_tokens, output_tokens, coalesce(reasoning_tokens, 0), fallback_index, rule, "
        f"rules_version FROM {table} l JOIN catalog_usecase u ON u.id = l.use_case_id "
        "JOIN catalog_offering o ON o.id = l.offering_id ORDER BY occurred_at, l.id",
    )
    return [Entry(row[3:], *row[:3]) for row in rows]


def calls(house: Demo, table: str) -> Counter[tuple[Any, ...]]:
    """Count calls by what both formats tell: tags, and with them use cases and rules, do not survive in spans."""
    return Counter((entry.call_group, *entry.said[1:7]) for entry in entries(house, table))


def test_calls_through_a_litellm_proxy_are_booked_once_though_it_tells_of_them_in_two_formats(house, proxy):
    good = ("good", "gpt-5.5@openai", OK, *COUNTS)

    assert chat(proxy, "good").status_code == 200
    rule = ["use_case:support-routing", "tollkeeper_rule:code-high@v7", "team-x"]
    assert chat(proxy, "good", tags=rule).status_code == 200
    stream = chat(proxy, "good", tags=["use_case:streams"], stream=True, stream_options={"include_usage": True})
    assert stream.text.rstrip().endswith("[DONE]")
    assert chat(proxy, "flaky", tags=["use_case:fallbacks"]).status_code == 200
    assert chat(proxy, "broken", tags=["use_case:failures"]).status_code == 500
    body = {"model": "embedding", "input": SECRET, "metadata": {"tags": ["use_case:embeddings"]}}
    assert httpx.post(f"{proxy.base_url}/v1/embeddings", json=body, headers=CLIENT, timeout=60).status_code == 200
    assert eventually(lambda: len(entries(house, "ledger")) >= BATCH), proxy.said

    # Everything with its use case, what was asked for, what served it, its status, its tokens, fallback and rule.
    assert [entry.said for entry in entries(house, "ledger")] == [
        ("unassigned", *good, 0, "", 0),
        ("support-routing", *good, 0, "code-high", 7),
        ("streams", *good, 0, "", 0),
        ("fallbacks", "flaky", "down@openai", ERROR, 0, 0, 0, 0, 0, "", 0),
        ("fallbacks", *good, 1, "", 0),
        ("failures", "broken", "down@openai", ERROR, 0, 0, 0, 0, 0, "", 0),
        ("embeddings", "embedding", "text-embedding-3-small@openai", OK, 9, 0, 0, 0, 0, "", 0),
    ]
    # 176 at 5 USD per million, 1024 at 0.50 and 85 at 30, as the catalogue has it and LiteLLM too.
    assert {entry.cost_usd for entry in entries(house, "ledger") if entry.said[1] == "good"} == {Decimal("0.003942")}
    for entry in entries(house, "ledger"):
        assert entry.reported_cost_usd == entry.cost_usd
    groups = Counter(entry.call_group for entry in entries(house, "ledger"))
    assert sorted(groups.values()) == [1, 1, 1, 1, 1, 2]
    assert len({entry.call_group for entry in entries(house, "ledger") if entry.said[0] == "fallbacks"}) == 1

    # Its spans told of the same calls, and count nowhere.
    assert eventually(lambda: len(entries(house, "ledger_unsummed")) >= BATCH), proxy.said
    assert calls(house, "ledger_unsummed") == calls(house, "ledger")
    assert ask(house, "SELECT kind FROM alerts_alert") == [("second_format",)]

    # The next batch is sent while nobody answers at our address, and again until somebody does.
    for process in house.web():
        process.kill()
    for _ in range(BATCH):
        assert chat(proxy, "good", tags=["use_case:nobody-there"]).status_code == 200
    assert eventually(lambda: len(entries(house, "ledger")) >= 2 * BATCH), proxy.said

    told = entries(house, "ledger")
    assert [entry.said for entry in told[BATCH:]] == [("nobody-there", *good, 0, "", 0)] * BATCH

    proxy.stop()
    assert eventually(lambda: not ask(house, "SELECT FROM receipt WHERE state <> 'done'")), proxy.said
    assert entries(house, "ledger") == told
    assert ask(house, "SELECT sum(requests), sum(cost_usd) FROM rollup_day") == [
        (2 * BATCH, sum(entry.cost_usd for entry in told))
    ]
    assert {row[0] for row in ask(house, "SELECT format FROM receipt")} == {"litellm", "otlp"}
