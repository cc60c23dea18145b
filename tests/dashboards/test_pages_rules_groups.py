"""The editor beyond single comparisons: groups, settings, scores, weights that sum up, the control for a value."""

from __future__ import annotations

from typing import Any

import pytest

from core.models import Organisation
from tests.dashboards.making_rules import at, draft_of, form_of, furnish, typed
from tests.dashboards.seeing import signed_in
from tests.dashboards.test_pages_rules_editor import empty_draft, errors_of, saved
from tests.routing.making import CHEAP, MIDDLE, OPUS, make_content, make_rule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def row(number: int, field: str = "task", op: str = "eq", value: str = "code", **more: str) -> dict[str, str]:
    given = {"field": field, "op": op, "value": value, **more}
    return {f"condition-{number}-{name}": text for name, text in given.items()}


def group(number: int, kind: str, depth: int = 0) -> dict[str, str]:
    return {f"condition-{number}-group": kind, f"condition-{number}-depth": str(depth)}


def test_groups_are_written_as_they_are_set_in(client):
    draft = empty_draft()
    signed_in(client, "engineer")
    sent = typed(
        **row(0, "user_tier", "eq", "paid"),
        **group(1, "any"),
        **row(2, depth="1"),
        **group(3, "not_all", 1),
        **row(4, "batch", "eq", "yes", depth="2"),
        **row(5, "hour", "gte", "8", zone="UTC", depth="2"),
        **row(6, "region", "eq", "eu", depth="1"),
        **group(7, "not_any"),
        **row(8, "tag", "exists", "", tag="beta", depth="1"),
    )

    answer = client.post(at(draft, "rules/new/"), sent)

    assert answer.status_code == 302, errors_of(answer)
    assert saved(draft)["when"] == {
        "all": [
            {"field": "user_tier", "op": "eq", "value": "paid"},
            {
                "any": [
                    {"field": "task", "op": "eq", "value": "code"},
                    {
                        "not": {
                            "all": [
                                {"field": "batch", "op": "eq", "value": True},
                                {"field": "hour", "op": "gte", "value": "8", "zone": "UTC"},
                            ]
                        }
                    },
                    {"field": "region", "op": "eq", "value": "eu"},
                ]
            },
            {"not": {"field": "tag:beta", "op": "exists", "value": True}},
        ]
    }


def rows_after(client: Any, draft: Any, **pressed: str) -> list[dict[str, str]]:
    sent = typed(**group(1, "any"), **row(2, depth="1"), **row(3, value="last"), saves="0", **pressed)
    answer = client.post(at(draft, "rules/new/"), sent)
    assert answer.status_code == 200
    rows: list[dict[str, str]] = answer.context["editor"].typed.rows["condition"]
    return rows


@pytest.mark.parametrize(
    ("pressed", "shape"),
    [
        ({"add": "condition"}, ["complexity", "any", ".task", "task", ""]),
        ({"add": "condition-1"}, ["complexity", "any", ".task", ".", "task"]),
        ({"add": "group-1"}, ["complexity", "any", ".task", ".any", "task"]),
        ({"add": "group"}, ["complexity", "any", ".task", "task", "any"]),
        ({"add": "condition-0"}, ["complexity", "any", ".task", "task"]),
        ({"drop": "condition-1"}, ["complexity", "task"]),
        ({"drop": "condition-2"}, ["complexity", "any", "task"]),
    ],
)
def test_rows_are_added_to_a_group_and_go_with_it(client, pressed, shape):
    signed_in(client, "engineer")

    rows = rows_after(client, empty_draft(), **pressed)

    assert [
        "." * int(one.get("depth") or 0) + (one.get("group") or one.get("field", "")) for one in rows
    ] == shape  # fmt: skip


def test_what_is_too_much_is_said_and_what_is_there_stays(client):
    draft = empty_draft()
    signed_in(client, "engineer")
    full = typed(add="condition", **{k: v for n in range(1, 80) for k, v in row(n, value=f"t{n}").items()})
    deep = typed(add="group-3", **group(1, "any"), **group(2, "any", 1), **group(3, "any", 2))

    rows, groups = (client.post(at(draft, "rules/new/"), sent) for sent in (full, deep))
    over = client.post(at(draft, "rules/new/"), {name: value for name, value in full.items() if name != "add"})

    assert errors_of(rows) == {"when": ["A rule has at most 50 conditions, and with groups 80 rows."]}
    assert len(rows.context["editor"].conditions) == 80
    assert errors_of(groups)["when"] == ["Groups are nested three deep at most."]
    assert over.status_code == 422
    assert "50" in errors_of(over)["when"][0]


def test_whoever_adds_a_condition_means_that_it_holds(client):
    draft = empty_draft()
    signed_in(client, "engineer")
    blank: dict[str, Any] = {f"condition-0-{name}": None for name in ("field", "op", "value")}

    answer = client.post(at(draft, "rules/new/"), typed(match="always", add="condition", **blank))

    assert answer.context["editor"].typed.one("match") == "all"


def test_a_value_has_the_control_of_what_is_looked_at(client):
    Organisation.objects.update(zone="Europe/Berlin")
    draft = empty_draft()
    signed_in(client, "engineer")
    sent = typed(
        refit="1",
        **row(0, "batch", "eq", ""),
        **row(1, "weekday", "eq", "1"),
        **row(2, "weekday", "in", "1, 2", zone="UTC"),
        **row(3, "use_case", "eq", ""),
        **row(4, "batch", "eq", "maybe"),
    )

    page = client.post(at(draft, "rules/new/"), sent, headers={"HX-Request": "true"})

    html = page.content.decode()
    assert '<select name="condition-0-value"' in html
    assert '<option value="1" selected>Monday</option>' in html
    assert 'name="condition-2-value" value="1, 2"' in html
    assert 'list="known-use-cases"' in html
    assert 'name="condition-4-value" value="maybe"' in html
    assert [one.get("zone") for one in page.context["editor"].typed.rows["condition"]] == [
        None, "Europe/Berlin", "UTC", None, None,
    ]  # fmt: skip


def test_settings_are_what_they_look_like(client):
    draft = empty_draft()
    signed_in(client, "engineer")
    values = ["adaptive", "3", "true", '"3"', '{"type": "on", "n": [1]}', "0.7", "-5", "", '"true"', "03"]
    settings = {
        f"param-{number}-{name}": text
        for number, value in enumerate(values)
        for name, text in (("provider", "anthropic"), ("name", f"s{number}"), ("value", value))
    }

    client.post(at(draft, "rules/new/"), typed(**settings))

    made = ["adaptive", 3, True, "3", {"type": "on", "n": [1]}, "0.7", -5, "", "true", "03"]
    assert saved(draft)["params"] == {"anthropic": {f"s{number}": value for number, value in enumerate(made)}}


def test_a_score_weighs_price_latency_and_errors(client):
    draft = empty_draft()
    signed_in(client, "engineer")

    client.post(at(draft, "rules/new/"), typed(choose="score", score_price="70", score_errors="30"))
    page = client.get(at(draft, "rules/1/")).content.decode()

    rule = saved(draft)
    assert (rule["choose"], rule["score"]) == ("score", {"price": 7000, "errors": 3000})
    assert rule["targets"] == [{"offering": OPUS}, {"offering": MIDDLE}]
    assert 'name="score_price" value="70"' in page


@pytest.mark.parametrize(
    ("typed_weights", "made"),
    [
        (["", "", ""], ["33.34", "33.33", "33.33"]),
        (["90", "", ""], ["90", "5", "5"]),
        (["50", "50", "100"], ["25", "25", "50"]),
        (["1", "1", "1"], ["33.34", "33.33", "33.33"]),
        (["0", "0", "0"], ["33.34", "33.33", "33.33"]),
        (["100", "20", ""], ["83.33", "16.67", "0"]),
        (["nine", "1", ""], ["nine", "1", ""]),
    ],
)
def test_weights_are_made_to_sum_to_a_hundred(client, typed_weights, made):
    draft = empty_draft()
    signed_in(client, "engineer")
    rows = {f"target-{n}-weight": text for n, text in enumerate(typed_weights)}

    answer = client.post(at(draft, "rules/new/"), typed(whole="target", **rows, **{"target-2-offering": CHEAP}))

    assert [one["weight"] for one in answer.context["editor"].typed.rows["target"]] == made


def test_saving_and_trying_asks_what_the_rule_asks_for(client):
    draft = draft_of(make_content(make_rule(when={"all": [
        {"field": "task", "op": "eq", "value": "code"}, {"field": "tag:team", "op": "in", "value": ["a", "b"]},
        {"field": "complexity", "op": "gte", "value": "0.75"}, {"field": "batch", "op": "eq", "value": True},
    ]})))  # fmt: skip
    signed_in(client, "engineer")
    sent = form_of(client.get(at(draft, "rules/1/")).content.decode())

    answer = client.post(at(draft, "rules/1/"), sent | {"owner": "me", "then": "try"})
    by_link = client.get(at(draft, "rules/1/try/"))

    asked = "?use_case=code-review&task=code&complexity=0.75&batch=yes&tags=team%3Da"
    assert sorted(answer["Location"].split("?")[1].split("&")) == sorted(asked[1:].split("&"))
    assert by_link["Location"] == answer["Location"]
    assert "Rule code-high is the first that matches" in client.get(answer["Location"]).content.decode()


def test_the_five_hundred_and_first_rule_is_refused_in_words(client):
    rules = [make_rule(f"r{n}", use_cases=[f"u{n}"]) for n in range(500)]
    draft = draft_of(make_content(*rules))
    signed_in(client, "engineer")

    written = client.post(at(draft, "rules/new/"), typed(anyway="1"))
    copied = client.post(at(draft, "copy/"), {"saves": "0", "place": "1"})

    assert written.status_code == copied.status_code == 422
    for page in (written, copied):
        assert "A set of rules holds at most 500 rules." in page.content.decode()
    draft.refresh_from_db()
    assert len(draft.content["rules"]) == 500
