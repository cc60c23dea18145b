"""Over REST: a draft that was overtaken is brought up to date, and any two sets of rules are compared."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from tests.factories import make_user
from tests.routing.making import make_content, make_draft, make_rule, make_version, stock
from tests.routing.test_rebasing import TITLE, as_it_was, overtaken

pytestmark = pytest.mark.django_db(transaction=True)

DRAFTS = "rules/production/drafts"
COMPARE = "rules/production/compare"


def test_the_api_shows_the_merge_and_performs_it(api):
    draft = overtaken({"title": "mine"}, {"title": "theirs", "timeout_ms": 900})
    writer = api("write")
    path = f"{DRAFTS}/{draft.pk}/rebase"

    shown = writer.get(path).json()
    refused = writer.post(path, {"saves": shown["saves"], "live": shown["live_version"]})
    done = writer.post(
        path, {"saves": shown["saves"], "live": shown["live_version"], "choices": {TITLE: "mine"}}
    )  # fmt: skip
    late = writer.post(path, {"saves": 0, "live": 2, "choices": {TITLE: "mine"}})

    assert (shown["stale"], shown["base_version"], shown["changes"]) == (True, 1, [])
    assert shown["conflicts"] == [
        {
            "place": TITLE, "part": "rule code-high", "member": "title",
            "base": "none", "theirs": "theirs", "mine": "mine",
        }
    ]  # fmt: skip
    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == [f"#{TITLE}"]
    assert (done.status_code, done.json()["base_version"], done.json()["stale"]) == (200, 2, False)
    assert done.json()["changes"] == ["rule code-high: title from theirs to mine"]
    assert late.status_code == 409
    assert writer.get(path).json()["stale"] is False


@pytest.mark.parametrize("wrong", [
    {"live": 2}, {"saves": 0}, {"saves": -1, "live": 2}, {"saves": 0, "live": 0},
    {"saves": 0, "live": 2, "choices": {TITLE: "both"}}, {"saves": 0, "live": 2, "choices": [TITLE]},
    {"saves": 0, "live": 2, "choice": {}}, {"saves": 0, "live": 2, "choices": {"/rules/no": "mine"}},
])  # fmt: skip
def test_the_api_refuses_what_cannot_be_read(api, wrong):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})

    answer = api("write").post(f"{DRAFTS}/{draft.pk}/rebase", wrong)

    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    assert as_it_was(draft)


def test_a_draft_of_elsewhere_is_not_found(api):
    draft = overtaken({"title": "mine"}, {"title": "theirs"})
    writer = api("write")

    for path in (f"rules/staging/drafts/{draft.pk}/rebase", f"{DRAFTS}/999999/rebase"):
        assert writer.get(path).status_code == 404
        assert writer.post(path, {"saves": 0, "live": 2}).status_code == 404


def test_a_viewer_looks_and_does_not_touch():
    draft = overtaken({"title": "mine"}, {"timeout_ms": 900})
    client = Client()
    client.force_login(make_user("viewer"))
    path = f"/api/v1/{DRAFTS}/{draft.pk}/rebase"

    sent = json.dumps({"saves": 0, "live": 2})
    assert client.get(path).status_code == 200
    assert client.post(path, sent, content_type="application/json").status_code == 403
    assert Client().get(path).status_code == 401
    assert as_it_was(draft)


def test_the_api_compares(api):
    stock()
    make_version()
    make_version(make_content(make_rule(timeout_ms=5)))
    reader = api("read")

    found = reader.get(COMPARE, {"before": "1", "after": "2"})
    body = found.json()

    assert found.status_code == 200
    assert body["changes"] == ["rule code-high: time-out in ms from none to 5"]
    assert (body["before"]["version"], body["after"]["state"]) == (1, "in_force")
    assert body["parts"][0]["members"] == [
        {
            "name": "timeout_ms", "title": "time-out in ms", "before": "none", "after": "5",
            "lines": ["time-out in ms from none to 5"],
        }
    ]  # fmt: skip
    assert reader.get(COMPARE, {"before": "1", "after": "9"}).status_code == 404
    assert reader.get(COMPARE, {"before": "1"}).status_code == 400
    assert reader.get(COMPARE, {"before": "1", "after": "2", "x": "1"}).status_code == 400


def test_a_key_that_only_fetches_rules_does_not_see_drafts(api):
    stock()
    make_version()
    draft = make_draft(make_content(make_rule(title="mine")))

    answer = api("rules:read", name="gateway").get(COMPARE, {"before": "1", "after": f"draft-{draft.pk}"})

    assert answer.status_code == 403
