"""The JavaScript client against Tollkeeper itself, and its files as the console serves them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.staticfiles import finders
from django.utils import timezone

from controlplane.static import ModuleStorage
from routing.models import GatewayPoll
from routing.serving.shelf import SHELF
from tests.clients.javascript.node import running
from tests.factories import make_key
from tests.routing.making import make_version, stock
from tests.usage.making import book
from usage.models import LedgerEntry

CONTEXT = {"use_case": "code-review", "task": "code", "session": "s-1"}


@pytest.mark.django_db(transaction=True)
def test_rules_come_usage_goes_back_with_the_rule_and_the_fleet_is_seen(live_server):
    stock()
    with running("polling.mjs") as client:
        # The first answer of a server waits for all of its code.
        client.ask("create", url=live_server.url, key=make_key("rules:read", "usage:write"), timeoutSeconds=60)
        client.ask("poll")
        before = client.ask("status")["failing"]
        version = make_version()

        client.ask("poll")
        client.ask("poll")  # 304
        event = client.ask(
            "event", context=CONTEXT, id="call-1", usage={"prompt_tokens": 1000, "completion_tokens": 10}
        )
        client.ask("report", events=[event, event, {"id": "no", "model": "gpt-5.5", "input_tokens": -1}])
        done = client.ask("flush", seconds=60)
        status = client.ask("status")
    book(at=timezone.now() + timedelta(seconds=2))

    entry = LedgerEntry.objects.get()
    assert before == "answered 404"
    assert (done, status["version"], status["source"], status["failing"]) == (True, version.number, "server", None)
    assert (entry.use_case.name, entry.rules_version, entry.rule) == ("code-review", version.number, "code-high")
    assert (entry.uncached_input_tokens, entry.cost_usd > 0) == (1000, True)
    assert (status["usage"]["sent"], status["usage"]["refused"]) == (2, 1)
    SHELF.polls.write(now=timezone.now().timestamp())
    poll = GatewayPoll.objects.get()
    assert (poll.instance, poll.client, poll.spec) == ("i-1", "tollkeeper-javascript/1.0", 1)
    assert poll.version == version.number


def test_modules_import_each_other_by_names_that_carry_their_hashes(tmp_path):
    found = {
        name: (storage, path)
        for finder in finders.get_finders()
        for path, storage in finder.list([])
        if (name := f"{getattr(storage, 'prefix', None) or ''}/{path}".lstrip("/")).endswith(".mjs")
    }
    storage = ModuleStorage(location=tmp_path, base_url="/static/")
    for name, (source, path) in found.items():
        with source.open(path) as file:
            storage.save(name, file)

    list(storage.post_process(found))

    page = tmp_path / storage.stored_name("console/rules_try.mjs")
    seen, waiting = set(), [page]
    while waiting:
        module = waiting.pop()
        assert re.search(r"\.[0-9a-f]{12}\.mjs$", module.name), module
        seen.add(module.name.partition(".")[0])
        imported = re.findall(r'from "(\.[^"]+)"', module.read_text())
        waiting += [
            path for name in imported if (path := (module.parent / name).resolve()).name.partition(".")[0] not in seen
        ]
    assert {"rules_try", "evaluator", "rule", "walk", "values", "validator", "schema"} <= seen
    assert "node" not in seen
