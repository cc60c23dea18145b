"""Drafts over the API as YAML: what JSON can say, with every slip and its line."""

from __future__ import annotations

import pytest

from routing.models import Proposal
from routing.rules import texts
from tests.factories import make_key
from tests.routing.making import make_content, make_rule, stock

pytestmark = pytest.mark.django_db(transaction=True)


def send(client, method, path, body):
    return getattr(client, method)(
        f"/api/v1/rules/production/drafts{path}",
        body.encode(),
        content_type="application/yaml",
        headers={"Authorization": f"Bearer {make_key('write', name=f'{method} {len(body)}')}"},
    )


def test_a_draft_is_started_and_saved_as_yaml(client):
    stock()
    first, second = ({"content": make_content(make_rule(name))} for name in ("one", "two"))

    made = send(client, "post", "", "title: from a file\n" + texts.written(first, texts.YAML))
    saved = send(client, "patch", f"/{made.json()['id']}", "saves: 0\n" + texts.written(second, texts.YAML))

    assert (made.status_code, saved.status_code) == (201, 200)
    draft = Proposal.objects.get()
    assert (draft.title, [rule["id"] for rule in draft.content["rules"]]) == ("from a file", ["two"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("title: a\ncontent: 1.0\ntitle: no\n", "line 2: 1.0: write a number"),
        ("title: &a x\ncontent: *a\n", "line 2: *a: aliases are not read"),
        ("- a\n", "line 1: not an object"),
        ("a: [", "while parsing a flow node"),
    ],
)
def test_what_yaml_may_not_say_is_refused_with_its_line(client, body, said):
    answer = send(client, "post", "", body)

    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert not Proposal.objects.exists()
