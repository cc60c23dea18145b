"""The MCP server behind the real web process, asked by the SDK's own client over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import httpx2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from controlplane.embedded.servers import die_with_parent
from controlplane.processes import WEB
from core.models import ApiKey
from tests.controlplane.conftest import a_free_port
from tests.factories import make_key
from tests.mcp.making import HARD, make_house
from tests.routing.making import CHEAP, OPUS
from tests.running import ROOT
from tests.usage.making import DAY
from tests.usage.waiting import another_connection, until

TOOLS = ["check_budget", "explain_decision", "spend", "suggest_model"]
ASK = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
TAKES = {"Accept": "application/json, text/event-stream"}

pytestmark = pytest.mark.django_db


class Web:
    """The web process on the tests' database."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.http = httpx.Client(timeout=60)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = a_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {name: value for name, value in os.environ.items() if name != "DJANGO_ALLOW_ASYNC_UNSAFE"}
        self.environment["DATABASE_URL"] = _of_the_tests(os.environ["DATABASE_URL"])

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *WEB.argv(host="127.0.0.1", port=self.port, data="")[1:]],
            cwd=ROOT, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip
        until(self._answers, what="the web process", patience_s=180)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        try:
            return self.http.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def post(self, body: Any = ASK, *, key: str | None = None, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {key}"} if key else {}
        given |= TAKES | {"Content-Type": "application/json"} | headers
        return self.http.post(f"{self.url}/mcp", content=content, headers=given)

    def rest(self, path: str, key: str) -> httpx.Response:
        return self.http.get(f"{self.url}/api/v1/{path}", headers={"Authorization": f"Bearer {key}"})

    @asynccontextmanager
    async def client(self, key: str, mode: str = "auto") -> Any:
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60)
        async with http, Client(streamable_http_client(f"{self.url}/mcp", http_client=http), mode=mode) as client:
            yield client

    def talk(self, key: str, conversation: Callable[[Client], Awaitable[Any]], *, mode: str = "auto") -> Any:
        """Have a conversation as the SDK's client does, and return what it returns."""

        async def whole() -> Any:
            async with self.client(key, mode) as client:
                return await conversation(client)

        return asyncio.run(whole())

    def call(self, key: str, name: str, arguments: dict[str, Any]) -> Any:
        async def one(client: Client) -> Any:
            return await client.call_tool(name, arguments)

        return self.talk(key, one)


def _of_the_tests(url: str) -> str:
    with_name = urlsplit(url)._replace(path=f"/{connection.settings_dict['NAME']}")
    return urlunsplit(with_name)


@pytest.fixture(scope="module")
def web(django_db_setup, django_db_blocker) -> Iterator[Web]:
    """One house and one web process for all of these tests: nothing that they ask changes anything.

    What it holds is committed, or that process would not see it; the tests themselves only look.
    """
    now, started = timezone.now(), Web()
    with django_db_blocker.unblock():
        try:
            make_house(at=now - timedelta(seconds=5))
            started.keys = {
                "reader": make_key("read", name="reader"),
                "gateway": make_key("usage:write", "rules:read", name="gateway"),
                "sender": make_key("usage:write", name="sender"),
                "expired": make_key("read", name="expired", at=now - 2 * DAY, expires_at=now - DAY),
                "revoked": make_key("read", name="revoked"),
            }
            ApiKey.objects.filter(name="revoked").update(revoked_at=now)
            started.start()
            yield started
        finally:
            started.stop()
            started.http.close()
            call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="module")
def key(web) -> str:
    return web.keys["reader"]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_client_finds_tools_that_only_read_with_schemas_that_say_what_units_are(web, key, mode):
    async def conversation(client: Client) -> Any:
        tools = (await client.list_tools()).tools
        resources = (await client.list_resources()).resources
        return tools, resources, (await client.list_resource_templates()).resource_templates

    tools, resources, templates = web.talk(key, conversation, mode=mode)

    assert [tool.name for tool in tools] == TOOLS
    assert all(tool.annotations.read_only_hint and not tool.annotations.destructive_hint for tool in tools)
    assert all(tool.output_schema["type"] == "object" and tool.input_schema["properties"] for tool in tools)
    assert tools[0].input_schema["required"] == ["use_case"]
    assert all("USD" in tool.description for tool in tools)
    assert [one.uri for one in resources] == ["tollkeeper://budgets", "tollkeeper://rules/production"]
    assert [one.uri_template for one in templates] == [
        "tollkeeper://rules/{environment}", "tollkeeper://rules/{environment}/versions/{number}",
        "tollkeeper://budgets/{id}",
    ]  # fmt: skip


def test_every_tool_answers_in_the_form_it_declares(web, key):
    async def conversation(client: Client) -> Any:
        return [
            await client.call_tool("check_budget", {"use_case": "code-review", "model": OPUS}),
            await client.call_tool("explain_decision", {"context": HARD}),
            await client.call_tool("spend", {"group_by": ["use_case"]}),
            await client.call_tool("suggest_model", {"use_case": "code-review", "task": "code"}),
            await client.call_tool("explain_decision", {"event_id": "call-1"}),
        ]

    budget, decision, spend, model, event = answers = web.talk(key, conversation)

    # The client holds structured answers against the declared schemas and raises where they differ.
    assert [answer.is_error for answer in answers] == [False] * 5
    assert [json.loads(answer.content[0].text) == answer.structured_content for answer in answers] == [True] * 5
    assert budget.structured_content["allowed"] is True
    assert decision.structured_content["decision"]["offering"] == OPUS
    assert model.structured_content["cheaper"][0]["offering"] == CHEAP
    assert event.structured_content["booked"]["same"] is True
    rest = web.rest("spend?group_by=use_case", key).json()
    assert {name: spend.structured_content[name] for name in rest} == rest


def test_resources_are_what_rest_answers_byte_for_byte(web, key):
    number = web.rest("budgets", key).json()["results"][0]["id"]
    same = {
        "tollkeeper://rules/production": "rules/production",
        "tollkeeper://rules/production/versions/1": "rules/production/versions/1",
    }

    async def conversation(client: Client) -> Any:
        uris = [*same, "tollkeeper://budgets", f"tollkeeper://budgets/{number}"]
        return [(await client.read_resource(uri)).contents[0] for uri in uris]

    rules, version, budgets, budget = web.talk(key, conversation)

    assert [one.mime_type for one in (rules, version, budgets, budget)] == ["application/json"] * 4
    assert [rules.text, version.text] == [web.rest(path, key).text for path in same.values()]
    assert [one["name"] for one in json.loads(budgets.text)] == ["code frontier"]
    assert json.loads(budget.text)["used"] == web.rest(f"budgets/{number}", key).json()["used"] == "40"


def test_a_resource_that_is_not_there_is_refused(web, key):
    uris = [
        "tollkeeper://rules/elsewhere", "tollkeeper://rules/production/versions/99", "tollkeeper://budgets/999999",
        "tollkeeper://budgets/x", "tollkeeper://keys", "tollkeeper://rules/production/../keys", "file:///etc/passwd",
        "tollkeeper://budgets/999999999999999999",
    ]  # fmt: skip

    async def conversation(client: Client) -> Any:
        found = []
        for uri in uris:
            with pytest.raises(MCPError) as refused:
                await client.read_resource(uri)
            found.append((refused.value.error.code, refused.value.error.message.split(" ")[:2]))
        return found

    found = web.talk(key, conversation)

    assert {code for code, _ in found} == {-32602}
    assert [words for _, words in found if words not in (["No", "rules"], ["There", "is"])] == []


def test_a_stranger_is_told_to_bring_a_key_and_nothing_else(web):
    answers = [web.post(), *(web.post(key=one) for one in ("tk_nobody", web.keys["revoked"], web.keys["expired"]))]
    unfit = web.post(key=web.keys["sender"])

    assert [answer.status_code for answer in answers] == [401] * 4
    assert [answer.headers["WWW-Authenticate"] for answer in answers] == [
        'Bearer realm="tollkeeper"', *['Bearer realm="tollkeeper", error="invalid_token"'] * 3
    ]  # fmt: skip
    assert "tools" not in "".join(answer.text for answer in (*answers, unfit))
    assert (unfit.status_code, unfit.json()["detail"]) == (
        403,
        "This key may not fetch the rules in force. One of these scopes would do: rules:read, read, write, admin.",
    )


def test_a_gateways_key_reads_rules_and_is_told_which_scope_the_rest_takes(web):
    async def conversation(client: Client) -> Any:
        refused = [
            await client.call_tool(name, arguments)
            for name, arguments in (
                ("check_budget", {"use_case": "code-review"}),
                ("spend", {}),
                ("suggest_model", {"use_case": "code-review"}),
                ("explain_decision", {"event_id": "call-1"}),
            )
        ]
        allowed = await client.call_tool("explain_decision", {"context": HARD})
        rules = await client.read_resource("tollkeeper://rules/production")
        with pytest.raises(MCPError) as of_budgets:
            await client.read_resource("tollkeeper://budgets")
        return refused, allowed, rules, of_budgets.value

    refused, allowed, rules, of_budgets = web.talk(web.keys["gateway"], conversation)

    sentence = (
        "This key may not see spend, budgets, alerts and the catalogue. "
        "One of these scopes would do: read, write, admin."
    )
    assert [(one.is_error, one.content[0].text) for one in refused] == [(True, sentence)] * 4
    assert of_budgets.error.message == sentence
    assert (allowed.is_error, json.loads(rules.contents[0].text)["version"]) == (False, 1)


def test_what_a_model_gets_wrong_is_answered_with_a_sentence_it_can_go_by(web, key):
    async def conversation(client: Client) -> Any:
        return [
            (await client.call_tool("chek_budget", {})),
            (await client.call_tool("check_budget", {"use_case": "code-reviev"})),
            (await client.call_tool("check_budget", {"usecase": "code-review"})),
        ]

    answers = web.talk(key, conversation)

    assert [answer.is_error for answer in answers] == [True] * 3
    assert [answer.content[0].text for answer in answers] == [
        f"There is no tool 'chek_budget': there are {', '.join(TOOLS)}.",
        "Nobody knows the use case 'code-reviev'. Did you mean 'code-review'?",
        (
            "check_budget cannot read these arguments.\n- use_case: This is needed.\n"
            "- usecase: Unknown; known are use_case, model, tier, team, environment."
        ),
    ]


def test_questions_at_once_are_each_answered_with_their_own_and_no_connection_is_left_behind(web, key):
    kinds = ({"use_case": "code-review", "model": OPUS}, {"use_case": "support-routing", "model": CHEAP})
    asked = [kinds[number % 2] for number in range(12)]

    async def conversation(client: Client) -> Any:
        return await asyncio.gather(*(client.call_tool("check_budget", one) for one in asked))

    answers = web.talk(key, conversation)

    told = [(one.structured_content["use_case"], one.structured_content["model"]) for one in answers]
    assert told == [(one["use_case"], one["model"]) for one in asked]
    with another_connection() as looking:
        held = looking.execute(
            "SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity "
            "WHERE application_name = 'tollkeeper' AND datname = current_database() AND pid <> %s",
            [connection.connection.info.backend_pid],
        ).fetchone()
    assert held is not None
    assert held[0] <= 5, "one for each of Django's four threads, and that of the rules in memory"
    assert held[1] == 0


def test_only_messages_that_may_come_from_here_are_looked_at(web, key):
    def status(body: Any = ASK, **headers: str) -> int:
        return web.post(body, key=key, **headers).status_code

    found = {
        "our own page": status(Origin=web.url),
        "a page from elsewhere": status(Origin="https://evil.example"),
        "a page of no origin": status(Origin="null"),
        "an origin that is none": status(Origin="http://[::1"),
        "a name that is not ours": status(Host="evil.example"),
        "no JSON": status(b"{"),
        "a batch": status([ASK, ASK]),
        "another type": status(**{"Content-Type": "text/plain"}),
        "a notification": status({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        "too much": status(b" " * 1_000_001),
        "a stream": web.post(
            {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": {}}, key=key
        ).status_code,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    others = [web.http.request(method, f"{web.url}/mcp", headers=headers).status_code for method in ("GET", "DELETE")]

    assert found == {
        "our own page": 200, "a page from elsewhere": 403, "a page of no origin": 403, "an origin that is none": 403,
        "a name that is not ours": 400,
        "no JSON": 400, "a batch": 400, "another type": 400, "a notification": 202, "too much": 413, "a stream": 200,
    }  # fmt: skip
    assert others == [405, 405]


def test_a_conversation_outlives_a_restart_of_the_server(web, key):
    async def conversation(client: Client) -> Any:
        before = await client.call_tool("explain_decision", {"context": HARD})
        await asyncio.to_thread(web.stop, signal.SIGKILL)
        await asyncio.to_thread(web.start)
        return before, await client.call_tool("explain_decision", {"context": HARD})

    before, after = web.talk(key, conversation)

    assert before.structured_content == after.structured_content


def test_an_assistant_on_this_machine_may_speak_over_standard_input(web, key, monkeypatch):
    arguments = ["manage.py", "mcp", "--stdio"]
    given = StdioServerParameters(
        command=sys.executable, args=arguments, cwd=ROOT, env=web.environment | {"TOLLKEEPER_KEY": key}
    )

    async def conversation() -> Any:
        async with Client(stdio_client(given, errlog=sys.__stderr__)) as client:
            return await client.call_tool("check_budget", {"use_case": "code-review", "model": OPUS})

    answer = asyncio.run(conversation())
    monkeypatch.setenv("TOLLKEEPER_KEY", web.keys["revoked"])
    with pytest.raises(CommandError, match="is unknown, expired or revoked"):
        call_command("mcp", stdio=True)

    assert answer.structured_content["budgets"][0]["used"] == "40"
