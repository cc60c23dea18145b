"""Contracts, hours, merges and what is said of a model, over REST."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.models import Amendment, Contract, HourWindow
from catalog.selectors import lists
from core.models import AuditEntry
from tests.factories import make_team, make_use_case

SPRING = "2026-03-01T00:00:00Z"
MODEL = {"model": "gpt-5.5", "provider": "openai", "default": True}
TERMS = {"name": "OpenAI 2026", "provider": "openai", "discount_percent": "12.5", "valid_from": SPRING}
OWN = {"offering": "gpt-5.5", "meter": "output", "usd_per_1m": "24"}
HOURS = {"name": "peak", "zone": "Asia/Shanghai", "weekdays": [4, 0], "starts": "09:00", "ends": "18:00:00"}


@pytest.fixture
def writer(api):
    client = api("write")
    client.made = client.post("models", MODEL).json()
    return client


# --- contracts ---


def test_a_contract_is_set_with_its_own_prices_and_listed(writer):
    made = writer.post("contracts", TERMS | {"own_prices": [OWN], "note": "yearly talks"})
    listed = writer.get("contracts", {"at": "2026-06-01T00:00:00Z"}).json()["results"]

    assert made.status_code == 201
    assert listed == [made.json()]
    found = made.json()
    assert (found["provider"], found["offering"], found["gateway"]) == ("openai", None, None)
    assert (found["discount_percent"], found["valid_from"], found["valid_until"]) == ("12.5", SPRING, None)
    assert (found["approved_by"], found["note"]) == ("key:pipeline", "yearly talks")
    (own,) = found["prices"]
    assert (own["offering"], own["usd_per_1m"], own["contract"], own["valid_from"]) == (
        "gpt-5.5@openai", "24", "OpenAI 2026", SPRING,
    )  # fmt: skip
    assert AuditEntry.objects.get(table="catalog_contract").reason == "yearly talks"
    assert writer.get("contracts", {"at": "2026-01-01T00:00:00Z"}).json()["results"] == []
    assert writer.get("contracts", {"name": "other"}).json()["results"] == []


def test_own_prices_are_no_list_prices_of_the_model(writer):
    writer.post("contracts", TERMS | {"own_prices": [OWN]})

    assert writer.get(f"models/{writer.made['id']}").json()["prices"] == []


def test_terms_sent_again_are_the_same_contract(writer):
    first = writer.post("contracts", TERMS | {"own_prices": [OWN]}).json()

    again = writer.post("contracts", TERMS | {"own_prices": [OWN]})

    assert again.json()["id"] == first["id"]
    assert Contract.objects.count() == Amendment.objects.count() == 1


def test_a_contract_ends_and_says_what_is_left_of_it(writer):
    made = writer.post("contracts", TERMS).json()

    ended = writer.post(f"contracts/{made['id']}/end", {"at": "2026-05-01T00:00:00Z"})
    again = writer.post(f"contracts/{made['id']}/end", {"at": "2026-05-01T00:00:00Z"})

    assert (ended.json()["ended"], again.json()["ended"]) == (True, False)
    (left,) = ended.json()["results"]
    assert (left["valid_from"], left["valid_until"]) == (SPRING, "2026-05-01T00:00:00Z")


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"provider": "nobody"}, 422, "#/provider"),
        ({"gateway": "nobody"}, 422, "#/gateway"),
        ({"offering": "gpt-5.5"}, 422, "#/provider"),  # two at once
        ({"discount_percent": 12.5}, 422, "#/discount_percent"),
        ({"discount_percent": "101"}, 422, "#/discount_percent"),
        ({"valid_until": SPRING}, 422, "#/valid_until"),
        ({"valid_from": "2026-03-01"}, 422, "#/valid_from"),
        ({"name": ""}, 422, "#/name"),
        ({"own_prices": [OWN | {"usd_per_1m": "-1"}]}, 422, "#/usd_per_1m"),
        ({"own_prices": [OWN | {"meter": "smoke"}]}, 422, "#/own_prices/0/meter"),
        ({"own_prices": {"a": 1}}, 422, "#/own_prices"),
        ({"price": "1"}, 422, "#/price"),
    ],
)
def test_terms_that_cannot_be_are_refused_by_field(writer, changes, status, pointer):
    answer = writer.post("contracts", TERMS | changes)

    assert answer.status_code == status
    assert pointer in [each["pointer"] for each in answer.json()["errors"]]
    assert not Contract.objects.exists()


def test_an_own_price_of_an_unknown_model_is_not_found_and_an_end_of_an_unknown_contract_neither(writer):
    answer = writer.post("contracts", TERMS | {"own_prices": [OWN | {"offering": "gpt-99"}]})

    assert answer.status_code == 404
    assert writer.post("contracts/999/end").status_code == 404


def test_another_scope_under_the_same_name_is_a_conflict(writer):
    writer.post("contracts", TERMS)
    other = {name: value for name, value in TERMS.items() if name != "provider"} | {"offering": "gpt-5.5"}

    assert writer.post("contracts", other).status_code == 409


def test_readers_see_contracts_and_set_none(api, writer):
    writer.post("contracts", TERMS)
    reader = api("read", name="reader")

    assert len(reader.get("contracts").json()["results"]) == 1
    assert reader.post("contracts", TERMS | {"name": "mine"}).status_code == 403
    assert api("usage:write", name="gateway").get("contracts").status_code == 403


def test_contracts_come_a_page_at_a_time_in_three_queries(writer):
    for number in range(3):
        writer.post("contracts", TERMS | {"name": f"c-{number}", "own_prices": [OWN]})

    first = writer.get("contracts", {"limit": 2}).json()
    rest = writer.get(
        "contracts", {"limit": 2, "after": first["next"].rpartition("after=")[2].partition("&")[0]}
    ).json()

    assert [row["name"] for row in first["results"] + rest["results"]] == ["c-0", "c-1", "c-2"]
    assert rest["next"] is None
    with CaptureQueriesContext(connection) as queries:
        assert len(lists.contracts()) == 3
    assert len(queries) == 3


# --- hours ---


def test_hours_are_named_and_a_price_is_set_for_them(writer):
    made = writer.post("hour-windows", HOURS)
    again = writer.post("hour-windows", HOURS | {"weekdays": [0, 4, 4]})
    price = {"offering": "gpt-5.5", "meter": "output", "usd_per_1m": "15", "valid_from": SPRING, "source": "page"}
    priced = writer.post("prices", price | {"hour_window": "peak"})

    assert (made.status_code, made.json()) == (
        201,
        {"id": again.json()["id"], "name": "peak", "zone": "Asia/Shanghai", "weekdays": [0, 4], "starts": "09:00:00",
         "ends": "18:00:00"},
    )  # fmt: skip
    assert priced.json()["price"]["hour_window"] == "peak"
    assert writer.get("hour-windows").json()["results"] == [made.json()]


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"zone": "Shanghai"}, 422, "#/zone"),
        ({"zone": "../etc/passwd"}, 422, "#/zone"),
        ({"weekdays": []}, 422, "#/weekdays"),
        ({"weekdays": [7]}, 422, "#/weekdays/0"),
        ({"starts": "25:00"}, 422, "#/starts"),
        ({"starts": "09:00:00.5"}, 422, "#/starts"),
        ({"name": "two words"}, 422, "#/name"),
    ],
)
def test_hours_that_cannot_be_are_refused_by_field(writer, changes, status, pointer):
    answer = writer.post("hour-windows", HOURS | changes)

    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (status, [pointer])
    assert not HourWindow.objects.exists()


def test_hours_do_not_change_since_prices_were_read_by_them(writer):
    writer.post("hour-windows", HOURS)

    assert writer.post("hour-windows", HOURS | {"ends": "19:00"}).status_code == 409
    assert HourWindow.objects.get().ends.hour == 18


# --- merges ---


def test_a_use_case_and_a_team_are_merged_by_name(writer):
    one, other = make_use_case("support_routing"), make_use_case("support-routing")
    old, new = make_team("old"), make_team("new")

    use_case = writer.post(
        f"use-cases/{one.pk}/merge", {"into": "Support-Routing", "since": SPRING, "reason": "a slip"}
    )
    team = writer.post(f"teams/{old.pk}/merge", {"into": "new"})

    assert (use_case.status_code, use_case.json()["state"]) == (200, "merged")
    assert (team.status_code, team.json()["state"]) == (200, "merged")
    amendment = Amendment.objects.get()
    assert (amendment.use_case_id, amendment.into_id, amendment.reason) == (one.pk, other.pk, "a slip")
    assert writer.get(f"use-cases/{other.pk}").json()["aliases"] == ["support_routing"]
    assert writer.get(f"teams/{new.pk}").json()["aliases"] == ["old"]


def test_a_model_is_merged_and_its_names_lead_to_the_other(writer):
    strange = writer.post("models", {"model": "GPT-55", "provider": "acme"}).json()

    answer = writer.post(f"models/{strange['id']}/merge", {"into": "gpt-5.5", "since": SPRING})

    assert (answer.status_code, answer.json()["state"]) == (200, "merged")
    assert "acme/gpt-55" in writer.get(f"models/{writer.made['id']}").json()["aliases"]


@pytest.mark.parametrize("kind", ["use-cases", "teams", "models"])
def test_a_merge_into_nothing_or_into_itself_or_of_nothing_is_refused(writer, kind):
    own, name = {
        "use-cases": lambda: (make_use_case("one").pk, "one"),
        "teams": lambda: (make_team("one").pk, "one"),
        "models": lambda: (writer.made["id"], "gpt-5.5@openai"),
    }[kind]()

    assert writer.post(f"{kind}/{own}/merge", {"into": "nowhere"}).status_code == 404
    assert writer.post(f"{kind}/{own}/merge", {"into": name}).status_code == 422
    assert writer.post(f"{kind}/999999/merge", {"into": name}).status_code == 404
    assert writer.post(f"{kind}/{own}/merge", {}).status_code == 422
    assert not Amendment.objects.exists()


# --- what is said of a model ---


def test_region_data_class_and_names_of_a_model_are_changed_and_the_rest_stays(writer):
    said = {"region": "eu", "data_class": "internal", "gateway_names": {"litellm": "openai/gpt-5.5"}}

    first = writer.patch(f"models/{writer.made['id']}", said | {"reason": "moved"}).json()
    second = writer.patch(f"models/{writer.made['id']}", {"data_class": ""}).json()

    assert {name: first[name] for name in said} == said
    assert {name: second[name] for name in said} == said | {"data_class": ""}
    assert AuditEntry.objects.filter(table="catalog_offering", operation="update", reason="moved").count() == 1


def test_another_region_amends_the_past_only_where_prices_go_by_region(writer):
    price = {"offering": "gpt-5.5", "meter": "output", "usd_per_1m": "33", "valid_from": SPRING, "source": "page"}
    writer.patch(f"models/{writer.made['id']}", {"region": "us"})
    assert not Amendment.objects.exists()
    writer.post("prices", price | {"region": "eu"})
    before = Amendment.objects.count()

    writer.patch(f"models/{writer.made['id']}", {"region": "eu"})
    writer.patch(f"models/{writer.made['id']}", {"region": "eu"})

    assert Amendment.objects.count() == before + 1
    amendment = Amendment.objects.order_by("id").last()
    assert amendment is not None
    assert (amendment.kind, amendment.offerings, amendment.starts_at) == ("prices", [writer.made["id"]], None)
