"""The circle through a real LiteLLM proxy with our hook: rules out, calls through it, usage back, budgets, outages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from controlplane.embedded.servers import temporary_dir
from tests import prepared
from tests.controlplane.conftest import bare_environment, processes_of
from tests.gateways import litellm_proxy
from tests.gateways.litellm_proxy import CLIENT, Proxy
from tests.routing.making import make_content, make_rule
from tests.running import ROOT, Demo, eventually

SECRET = "where the marmots sleep"
FRONTIER, MIDDLE, CHEAP = "gpt-5.5@openai", "mistral-medium-3.5@mistral", "deepseek-v4-flash@deepseek"
OK, ERROR, BLOCKED = 1, 2, 3
TOKENS_PER_CALL = 1285  # as the imitation of a provider says

SUPPORT = make_rule(
    "support", use_cases=["support-routing"], when=None, fallbacks=[MIDDLE],
    targets=[{"offering": FRONTIER, "weight": 10000}],
    over_budget={"targets": [{"offering": CHEAP, "weight": 10000}]},
)  # fmt: skip
CODE = make_rule(
    "code", use_cases=["code-review"], when={"field": "task", "op": "eq", "value": "code"},
    targets=[{"offering": FRONTIER, "weight": 10000}], fallbacks=[MIDDLE], timeout_ms=20_000,
    params={"openai": {"reasoning_effort": "low", "temperature": "0.5", "api_base": "http://127.0.0.1:9"}},
)  # fmt: skip
FLAKY = make_rule(
    "flaky", use_cases=["flaky"], when=None, targets=[{"offering": "gpt-5.5-pro@openai", "weight": 10000}],
    fallbacks=[MIDDLE],
)  # fmt: skip
SHUT = make_rule(
    "shut", use_cases=["shut"], when=None, use_default=False, targets=[{"offering": FRONTIER, "weight": 10000}],
    fallbacks=[],
)  # fmt: skip
CONTENT = make_content(
    SUPPORT, CODE, FLAKY, SHUT, default={"targets": [{"offering": MIDDLE, "weight": 10000}]},
    heuristics={"tasks": [{"task": "code", "any": [{"count": "code_fences", "at_least": 1}]}]},
)  # fmt: skip

# What somebody does at the house's terminal, in one process: three keys.
SET_UP = """
import json
from django.utils import timezone
from catalog.services import gateways
made = {}
for name, scopes in (("litellm", ["usage:write", "rules:read"]), ("author", ["admin"]), ("approver", ["admin"])):
    made[name] = gateways.create_key(name=name, gateway=name, scopes=scopes, by="tests", at=timezone.now())
print(json.dumps(made))
"""


class House:
    """A running house, asked over REST and in its database."""

    def __init__(self, demo: Demo, keys: Mapping[str, str]) -> None:
        self.demo = demo
        self.keys = keys
        self.url = f"http://127.0.0.1:{demo.port}"
        self._client = httpx.Client(base_url=f"{self.url}/api/v1/", timeout=60)
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        self._client.close()
        if self._connection is not None:
            self._connection.close()

    def post(self, path: str, body: object = None, *, by: str = "author") -> dict[str, Any]:
        answer = self._client.post(path, json=body or {}, headers={"Authorization": f"Bearer {self.keys[by]}"})
        assert answer.is_success, answer.text
        return answer.json()

    def publish(self, content: Mapping[str, Any]) -> None:
        drafted = self.post("rules/production/drafts", {"title": "the circle", "content": content})
        draft = f"rules/production/drafts/{drafted['id']}"
        submitted = self.post(f"{draft}/submit")
        self.post(f"{draft}/approve", {"sha256": submitted["sha256"]}, by="approver")
        self.post(f"{draft}/publish")

    def rules(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.keys['litellm']}"}
        return self._client.get("rules/production", headers=headers).json()

    def exceeded(self, action: str) -> bool:
        budgets = self.rules()["state"]["budgets"]
        return any(budget["action"] == action for budget in budgets if budget["state"] == "exceeded")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg.connect(self.demo.database_url(), autocommit=True)
        return self._connection.execute(sql).fetchall()  # type: ignore[call-overload]

    def entries(self, use_case: str) -> list[tuple[Any, ...]]:
        """Return what is booked for a use case, in the order in which the calls ended."""
        return self.ask(
            "SELECT requested_model, o.name, status, rule, rules_version, reason, fallback_index FROM ledger l "
            "JOIN catalog_usecase u ON u.id = l.use_case_id LEFT JOIN catalog_offering o ON o.id = l.offering_id "
            f"WHERE u.name = '{use_case}' ORDER BY occurred_at, l.id"
        )

    @contextmanager
    def down(self) -> Iterator[None]:
        """Kill what answers and what books, and hold whoever would start them again."""
        supervisor = psutil.Process(self.demo.process.pid)
        supervisor.suspend()
        for process in processes_of(self.demo.data_dir):
            with suppress(psutil.Error):
                if any(word in " ".join(process.cmdline()) for word in ("granian", "queues intake")):
                    process.kill()
        assert eventually(lambda: not self.demo.ready())
        yield
        supervisor.resume()


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with temporary_dir() as directory:
        prepared.lay_out(directory)
        demo = Demo(directory)
        try:
            with ThreadPoolExecutor() as together:
                installing = together.submit(litellm_proxy.install)
                demo.up()
                installing.result()
            said = subprocess.run(
                [sys.executable, "manage.py", "shell", "--no-imports", "-c", SET_UP], cwd=ROOT, check=True,
                capture_output=True, text=True, env=bare_environment(TOLLKEEPER_DATA_DIR=str(directory)),
            )  # fmt: skip
            house = House(demo, json.loads(said.stdout.splitlines()[-1]))
            yield house
            house.close()
        finally:
            demo.kill()


@pytest.fixture(scope="module")
def proxy(house: House, tmp_path_factory) -> Iterator[Proxy]:
    """A proxy as clients/litellm/README.md says: the hook's file beside the configuration, three lines in it."""
    directory: Path = tmp_path_factory.mktemp("proxy")
    shutil.copy(ROOT / "clients" / "litellm" / "tollkeeper_litellm.py", directory)
    with litellm_proxy.provider() as provider, ThreadPoolExecutor() as together:

        def deployment(group: str, model: str) -> dict[str, Any]:
            params = {"model": model, "api_base": provider, "api_key": "none"}
            return {"model_name": group, "litellm_params": params, "model_info": {"id": f"deployment-{group}"}}

        config = {
            "model_list": [
                deployment("gpt-5.5", "openai/gpt-5.5"),
                deployment("mistral/*", "mistral/*"),
                deployment("anything", "deepseek/deepseek-v4-flash"),
                deployment("gpt-5.5-pro@openai", "openai/down"),
                deployment("embedding", "openai/text-embedding-3-small"),
            ],
            "litellm_settings": {"callbacks": ["tollkeeper_litellm.hook"]},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        publishing = together.submit(house.publish, CONTENT)
        with litellm_proxy.proxy(
            config,
            directory,
            PYTHONPATH=str(ROOT / "clients" / "python" / "src"),
            TOLLKEEPER_URL=house.url,
            TOLLKEEPER_KEY=house.keys["litellm"],
            TOLLKEEPER_CLIENT_DIR=str(directory / "kept"),
        ) as running:
            publishing.result()
            running.kept = directory / "kept"
            up_to_date(house, running)
            yield running


def up_to_date(house: House, proxy: Proxy) -> None:
    """Wait until the proxy runs what is in force now."""

    def has() -> bool:
        rules = house.rules()
        tag = f"{rules['version']}.{rules['state']['revision']}"
        return any(tag in file.read_text(errors="replace")[:400] for file in proxy.kept.glob("rules-*.json"))

    assert eventually(has), proxy.said


def chat(
    proxy: Proxy, use_case: str, *, model: str = "auto", tags: Sequence[str] = (), text: str = SECRET, **more: Any
) -> httpx.Response:
    body = {
        "model": model, "messages": [{"role": "user", "content": text}],
        "metadata": {"tags": [f"use_case:{use_case}", *tags]}, **more,
    }  # fmt: skip
    return httpx.post(f"{proxy.base_url}/v1/chat/completions", json=body, headers=CLIENT, timeout=60)


def test_rules_decide_in_the_proxy_and_usage_comes_back_whatever_happens_to_the_house(house, proxy):
    version = 1
    told = house.entries

    # The rule decides, and rule and version are in the ledger.
    assert chat(proxy, "support-routing").status_code == 200
    by_rule = ("auto", FRONTIER, OK, "support", version, "rule", 0)
    assert eventually(lambda: told("support-routing") == [by_rule]), (told("support-routing"), proxy.said)

    # A budget that this call alone has used up: the next ones are downgraded.
    house.post("budgets", {
        "name": "frontier", "scope": {"use_case": ["support-routing"]}, "unit": "frontier_tokens",
        "action": "downgrade", "amount": str(TOKENS_PER_CALL), "reason": "the circle",
    })  # fmt: skip
    assert eventually(lambda: house.exceeded("downgrade"))
    up_to_date(house, proxy)
    assert chat(proxy, "support-routing").status_code == 200
    downgraded = ("auto", CHEAP, OK, "support", version, "over_budget", 0)
    assert eventually(lambda: told("support-routing") == [by_rule, downgraded]), told("support-routing")

    # A provider is switched off: skipped, by the rule's fallback.
    house.post("switches", {"provider": "deepseek", "seconds": 3600, "reason": "a bad hour"})
    up_to_date(house, proxy)
    assert chat(proxy, "support-routing").status_code == 200
    skipped = ("auto", MIDDLE, OK, "support", version, "over_budget", 0)
    assert eventually(lambda: told("support-routing") == [by_rule, downgraded, skipped]), told("support-routing")

    # The house is gone: calls go on by the last rules, and what they used waits.
    with house.down():
        for _ in range(3):
            assert chat(proxy, "support-routing").status_code == 200

    # It is back: everything arrives, once.
    whole = [by_rule, downgraded, skipped, skipped, skipped, skipped]
    assert eventually(lambda: len(told("support-routing")) >= len(whole)), proxy.said
    assert eventually(lambda: not house.ask("SELECT FROM receipt WHERE state <> 'done'"))
    assert told("support-routing") == whole
    assert house.ask("SELECT count(*) FROM ledger_unsummed") == [(0,)]


def test_every_kind_of_call_is_routed_or_passed_on_and_none_fails_by_the_hook(house, proxy):
    post = f"{proxy.base_url}/v1"
    review = {**CLIENT, "x-use-case": "code-review"}
    fenced = f"```\n{SECRET}\n```"

    # Labelled as code by what the text looks like, which the house never sees.
    answers = {
        "chat": chat(proxy, "code-review", text=fenced),
        "stream": chat(proxy, "code-review", text=fenced, stream=True, stream_options={"include_usage": True}),
        "responses": httpx.post(
            f"{post}/responses", json={"model": "auto", "input": fenced}, headers=review, timeout=60
        ),
        "messages": httpx.post(
            f"{post}/messages", headers=review, timeout=60,
            json={"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": fenced}]},
        ),
        "default": chat(proxy, "nobody-thought-of"),
        "fallback": chat(proxy, "flaky"),
        "as asked": chat(proxy, "as-asked", model="gpt-5.5", tags=["tollkeeper_rule:forged@v9"]),
        "embedding": httpx.post(
            f"{post}/embeddings", json={"model": "embedding", "input": SECRET, "metadata": {"use_case": "search"}},
            headers=CLIENT, timeout=60,
        ),
    }  # fmt: skip
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(answers, 200), {
        name: answer.text for name, answer in answers.items() if answer.status_code != 200
    }

    by_code = ("auto", FRONTIER, OK, "code", 1, "rule", 0)
    assert eventually(lambda: len(house.entries("code-review")) == 4), proxy.said
    assert house.entries("code-review") == [by_code] * 4
    assert eventually(lambda: len(house.entries("search")) == 1), proxy.said
    assert house.entries("nobody-thought-of") == [("auto", MIDDLE, OK, "", 1, "default", 0)]
    assert house.entries("as-asked") == [("gpt-5.5", FRONTIER, OK, "", 0, "", 0)]
    assert [(row[1], row[2], row[3], row[6]) for row in house.entries("flaky")] == [
        ("down@openai", ERROR, "flaky", 0),
        (MIDDLE, OK, "flaky", 1),
    ]

    # Blocked: the budget is spent and there is nothing else.
    assert chat(proxy, "shut").status_code == 200
    assert eventually(lambda: len(house.entries("shut")) == 1), proxy.said
    house.post("budgets", {
        "name": "none", "scope": {"use_case": ["shut"]}, "unit": "requests", "action": "block", "amount": "1",
        "reason": "the circle",
    })  # fmt: skip
    assert eventually(lambda: house.exceeded("block"))
    up_to_date(house, proxy)
    refused = chat(proxy, "shut")
    assert refused.status_code == 429
    assert "budget" in refused.text
    assert "shut" in refused.text
    assert eventually(lambda: len(house.entries("shut")) == 2), proxy.said
    assert house.entries("shut")[1][2:6] == (BLOCKED, "shut", 1, "budget_blocks")

    # Nothing of what was written ever lay where everything lies that is sent to the house.
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in proxy.kept.iterdir())
