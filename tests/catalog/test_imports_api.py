"""Imports of prices over REST: who may, what is answered, what is refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from catalog.models import Price, PriceImport, PriceProposal
from tests.catalog.importing import GPT, OPUS, installed, propose, quote, reject
from tests.catalog.making import set_price
from tests.factories import make_key, make_user

pytestmark = pytest.mark.django_db

PRICED = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 5e-6, "output_cost_per_token": 3e-5}


@pytest.fixture(scope="module")
def client():
    return Client()


@pytest.fixture
def api(client):
    """Ask as a key of these scopes."""

    def make(*scopes, name="pipeline"):
        headers = {"Authorization": f"Bearer {make_key(*scopes, name=name)}"}

        def post(path, body):
            return client.post(f"/api/v1/{path}", body, content_type="application/json", headers=headers)

        def upload(source, content, **more):
            file = SimpleUploadedFile("prices.json", content)
            return client.post("/api/v1/price-imports", {"from": source, "file": file, **more}, headers=headers)

        def get(path, query=None):
            return client.get(f"/api/v1/{path}", query, headers=headers)

        return SimpleNamespace(get=get, post=post, upload=upload)

    return make


@pytest.fixture
def writer(api):
    return api("write")


def table(count=1, **overrides):
    return json.dumps({f"gpt-{number}": PRICED | overrides for number in range(count)}).encode()


def test_a_file_becomes_proposals_and_again_nothing(writer):
    made = writer.upload("litellm", table(2))
    again = writer.upload("litellm", table(2))

    assert (made.status_code, again.status_code) == (201, 200)
    found = made.json()
    assert (found["source"], found["models"], found["new"], found["problems"]) == ("litellm", 2, 2, 0)
    assert (again.json()["import_id"], again.json()["waiting"]) == (None, 2)
    kept = PriceImport.objects.get()
    assert (kept.by, kept.file_name, kept.pk) == ("key:pipeline", "prices.json", found["import_id"])


def test_the_installed_table_is_asked_for_without_a_file(writer):
    with installed("anthropic", "mistral") as models:
        answer = writer.post("price-imports", {"from": "genai-prices"})

    assert answer.status_code == 201
    assert answer.json()["models"] == models


def test_imports_are_listed_the_latest_first_and_one_is_told_with_its_problems(writer):
    propose(quote("5"), problems=(("sonar", "no price"),), models=2)
    propose(quote("6"), quote("5", of=OPUS), version="1.81")

    page = writer.get("price-imports", {"limit": 1}).json()
    rest = writer.get(page["next"].partition("/api/v1/")[2]).json()
    one = writer.get(f"price-imports/{rest['results'][0]['id']}").json()

    assert [row["version"] for row in (*page["results"], *rest["results"])] == ["1.81", "1.80"]
    assert rest["next"] is None
    assert (one["problems"], one["counts"]) == ([{"name": "sonar", "problem": "no price"}], {"new": {"replaced": 1}})
    assert writer.get("price-imports/999").status_code == 404


def test_proposals_are_listed_with_table_book_and_others_side_by_side(writer):
    set_price("5")
    propose(quote("5.5"), source="csv")
    done = propose(quote("6"), quote("1", of=OPUS))

    page = writer.get("price-proposals", {"import": done.import_id, "kind": "changed", "state": "open"}).json()

    (found,) = page["results"]
    (line,) = found["lines"]
    assert (found["offering"], found["disputed"], found["summary"]) == (GPT, True, "Changes 1 price.")
    assert (line["usd_per_1m"], line["book_usd_per_1m"], line["others"]) == ("6", "5", {"csv": "5.5"})
    assert (line["what"], line["valid_from"], line["differs"]) == ("uncached input", None, True)


def test_proposals_are_paged_without_loss(writer):
    propose(*(quote("1", of=f"model-{number}@acme") for number in range(5)))

    page = writer.get("price-proposals", {"limit": 2, "search": "MODEL"}).json()
    seen = list(page["results"])
    while page["next"]:
        page = writer.get(page["next"].partition("/api/v1/")[2]).json()
        seen += page["results"]

    assert [row["offering"] for row in seen] == [f"model-{number}@acme" for number in range(5)]


def test_accepting_puts_prices_in_force_and_says_who(writer):
    propose(quote("5"), quote("30", meter="output"))
    (pk,) = PriceProposal.objects.values_list("pk", flat=True)

    answer = writer.post("price-proposals/accept", {"ids": [pk], "reason": "as agreed"})
    again = writer.post("price-proposals/accept", {"ids": [pk]})

    assert (answer.status_code, again.status_code) == (200, 409)
    assert answer.json() == {"proposals": 1, "offerings": [GPT], "prices_set": 2, "prices_ended": 0}
    assert set(Price.objects.values_list("approved_by", flat=True)) == {"key:pipeline"}


def test_rejecting_prices_nothing(writer):
    propose(quote("5"))
    (pk,) = PriceProposal.objects.values_list("pk", flat=True)

    answer = writer.post("price-proposals/reject", {"ids": [pk]})

    assert (answer.status_code, answer.json()["proposals"]) == (200, 1)
    assert (PriceProposal.objects.get().state, Price.objects.count()) == ("rejected", 0)


def test_what_cannot_be_used_is_refused_with_the_reason(writer):
    writer.upload("litellm", table(20))

    malformed = writer.upload("litellm", b"{")
    shrunk = writer.upload("litellm", table(3))
    insisted = writer.upload("litellm", table(3), accept_shrunk="true")
    unknown = writer.upload("rumour", b"{}")
    without = writer.post("price-imports", {"from": "litellm"})

    assert (malformed.status_code, shrunk.status_code, insisted.status_code) == (400, 409, 200)
    assert "of 20 models" in shrunk.json()["detail"]
    assert (unknown.status_code, without.status_code) == (422, 422)
    assert PriceImport.objects.count() == 1


@pytest.mark.parametrize(
    "query",
    [{"import": "x"}, {"import": "0"}, {"state": "lost"}, {"kind": "odd"}, {"after": "x"}, {"by": "me"}],
)
def test_a_query_that_cannot_be_read_is_told_so(writer, query):
    assert writer.get("price-proposals", query).status_code == 400


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["x"]}, {"ids": [0]}, {"ids": list(range(1, 300))}])
def test_a_decision_that_names_nothing_or_too_much_is_refused(writer, body):
    assert writer.post("price-proposals/accept", body).status_code == 422
    assert writer.post("price-proposals/reject", body).status_code == 422


def test_a_decision_about_what_does_not_exist_is_told_so(writer):
    assert writer.post("price-proposals/accept", {"ids": [999]}).status_code == 404


def test_a_body_that_is_too_large_is_refused_before_it_is_read(writer):
    assert writer.upload("litellm", b" " * 20_000_001).status_code == 413


def test_who_may_only_read_sees_proposals_and_decides_nothing(api):
    reader, stranger = api("read", name="reader"), api("usage:write", name="gateway")
    propose(quote("5"))
    (pk,) = PriceProposal.objects.values_list("pk", flat=True)

    assert reader.get("price-proposals").status_code == 200
    assert stranger.get("price-proposals").status_code == 403
    for one in (reader, stranger):
        assert one.upload("litellm", table()).status_code == 403
        assert one.post("price-proposals/accept", {"ids": [pk]}).status_code == 403
        assert one.post("price-proposals/reject", {"ids": [pk]}).status_code == 403
    assert PriceProposal.objects.get().state == "open"


def test_who_proposes_prices_does_not_put_them_in_force(client):
    propose(quote("5"))
    (pk,) = PriceProposal.objects.values_list("pk", flat=True)
    answers = {}
    for role in ("platform", "approver", "viewer"):
        client.force_login(make_user(role))
        listed = client.post("/api/v1/price-imports", {"from": "litellm"}, content_type="application/json")
        accepted = client.post("/api/v1/price-proposals/accept", {"ids": [pk]}, content_type="application/json")
        answers[role] = (listed.status_code, accepted.status_code)
        client.logout()

    assert answers == {"platform": (422, 403), "approver": (403, 200), "viewer": (403, 403)}


def test_a_rejected_proposal_is_told_as_settled_before(writer):
    writer.upload("litellm", table())
    reject(PriceProposal.objects.get())

    again = writer.upload("litellm", table())

    assert (again.status_code, again.json()["settled"], again.json()["new"]) == (200, 1, 0)
