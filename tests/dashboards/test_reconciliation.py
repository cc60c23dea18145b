"""Reconciliation: statements beside the ledger, what explains differences, importing and withdrawing."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.dashboards.seeing import HOSTILE, signed_in
from tests.usage import making
from tests.usage.making import make_event, make_priced_offering, send
from tests.usage.statements_made import ONE_DAY, bring, openai_costs, openai_usage
from usage.models import StatementFile
from usage.services import statements

pytestmark = pytest.mark.django_db
D1 = date(2026, 6, 15)
D2 = D1 + ONE_DAY
NOW = datetime(2026, 6, 30, tzinfo=UTC)
JUNE = "from=2026-06-01&to=2026-06-30"


@pytest.fixture
def compared():
    """Book a call on two days, and import statements that say more on the second one."""
    make_priced_offering()
    for day in (D1, D2):
        at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        send(make_event(occurred_at=at), received_at=at + timedelta(seconds=1))
    of_other = {"model": "gpt-5.5-2026-04-23", "api_key_id": "key_2"}
    bring(openai_usage({D1: [{}], D2: [{"input_tokens": 3000}, of_other]}), at=NOW)
    costs = {day: {"gpt-5.5, input": "0.008", "web search tool calls": "0.5"} for day in (D1, D2)}
    bring(openai_costs(costs), format="openai-costs", at=NOW)


def table(answer) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


# --- the page ---


def test_without_statements_the_page_says_how_to_get_one(client):
    signed_in(client, "finance")

    page = client.get("/reconciliation/").content.decode()

    assert "No statement was imported yet" in page
    assert "https://api.anthropic.com/v1/organizations/cost_report" in page
    assert "--format openai-usage" in page
    assert "Import a statement" in page


def test_the_page_shows_the_month_that_statements_tell_of_model_by_model(client, compared):
    signed_in(client, "viewer")

    answer = client.get("/reconciliation/")

    page = answer.content.decode()
    assert (answer.context["first"], answer.context["last"]) == (date(2026, 6, 1), date(2026, 6, 30))
    lines = {line.row.model: line for line in answer.context["lines"]}
    assert list(lines) == ["gpt-5.5", "gpt-5.5-2026-04-23", ""]
    cells = {cell.title: cell for cell in lines["gpt-5.5"].cells}
    assert (cells["Input"].theirs, cells["Input"].ours, cells["Input"].share, cells["Input"].tone) == (
        "4.0k", "2.0k", "-50.0\N{NO-BREAK SPACE}%", "bad",
    )  # fmt: skip
    assert (cells["Cost"].theirs, cells["Cost"].ours, cells["Cost"].tone) == ("$0.02", "$0.02", "good")  # as its column
    assert (lines["gpt-5.5"].state, lines["gpt-5.5-2026-04-23"].state) == ("apart", "not in the ledger")
    assert "2 of 30 days" in page
    assert "1 to 14 Jun 2026, 17 to 30 Jun 2026" in page


def test_an_unknown_model_leads_to_letting_its_name_mean_the_right_one(client, compared):
    signed_in(client, "finance")

    page = client.get("/reconciliation/").content.decode()

    assert "It is probably gpt-5.5@openai." in page
    url = "/catalog/gpt-5.5@openai/name/?name=openai%2Fgpt-5.5-2026-04-23&since=2026-06-01"
    assert url.replace("&", "&amp;") in page
    assert client.get(url).status_code == 200


def test_what_the_page_sums_is_what_its_models_and_its_days_say(client, compared):
    signed_in(client, "viewer")

    by_model = table(client.get(f"/reconciliation/table.csv?{JUNE}"))
    by_day = table(client.get(f"/reconciliation/table.csv?{JUNE}&by=day"))

    for rows in (by_model, by_day):
        *each, total = rows
        assert total["provider"] == "TOTAL"
        for column in (
            name for name in total if name.endswith(("_provider", "_ours")) and name != "list_cost_usd_ours"
        ):
            assert sum(Decimal(row[column] or 0) for row in each) == Decimal(total[column] or 0), column
    assert by_model[-1]["cost_usd_provider"] == by_day[-1]["cost_usd_provider"] == "1.016"
    assert by_model[-1]["input_tokens_ours"] == by_day[-1]["input_tokens_ours"] == "2000"


def test_a_model_s_page_shows_its_days_and_the_provider_s_keys(client, compared):
    signed_in(client, "viewer")

    answer = client.get(f"/reconciliation/model/?{JUNE}&provider=openai&model=gpt-5.5")

    lines = answer.context["lines"]
    assert [(line.row.day, line.state) for line in lines] == [(D2, "apart"), (D1, "agrees")]
    assert [one["key"] for one in answer.context["keys"]] == ["key_1"]
    assert [(one["item"], one["cost_usd"]) for one in answer.context["items"]] == [("gpt-5.5, input", Decimal("0.016"))]
    page = answer.content.decode()
    assert "/spend/?from=2026-06-16&amp;to=2026-06-16&amp;by=model&amp;provider=openai&amp;model=gpt-5.5" in page
    assert client.get("/spend/?from=2026-06-16&to=2026-06-16&by=model&provider=openai&model=gpt-5.5").status_code == 200


def test_a_provider_s_page_shows_all_of_its_days(client, compared):
    signed_in(client, "viewer")

    answer = client.get(f"/reconciliation/model/?{JUNE}&provider=openai")

    assert [line.row.day for line in answer.context["lines"]] == [D2, D1]
    assert {one["key"] for one in answer.context["keys"]} == {"key_1", "key_2"}
    assert {one["item"] for one in answer.context["items"]} == {"gpt-5.5, input", "web search tool calls"}


def test_costs_of_no_model_have_a_page(client, compared):
    signed_in(client, "viewer")

    answer = client.get(f"/reconciliation/model/?{JUNE}&provider=openai&model=")

    assert "web search tool calls" in answer.content.decode()
    assert answer.context["total"][-1].theirs == "$1.00"


def test_a_tolerance_is_taken_from_the_address(client, compared):
    signed_in(client, "viewer")

    answer = client.get(f"/reconciliation/?{JUNE}&tolerance=60")

    assert answer.context["lines"][0].state == "agrees"
    assert 'value="60"' in answer.content.decode()


def test_days_without_a_statement_lead_to_those_that_have_one(client, compared):
    signed_in(client, "viewer")

    page = client.get("/reconciliation/?from=2026-01-01&to=2026-01-31").content.decode()

    assert "No statement of these days" in page
    assert "/reconciliation/?from=2026-06-01&amp;to=2026-06-30" in page


@pytest.mark.parametrize("path", ["/reconciliation/", "/reconciliation/model/", "/reconciliation/table.csv"])
@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-06-02&to=2026-06-01",
        "from=2020-01-01&to=2026-01-01",
        "provider=acme",
        "tolerance=much",
        "tolerance=NaN",
        "tolerance=-1",
        "tolerance=1e999",
        "colour=red",
        "from=0001-01-01&to=9999-12-31",
    ],
)
def test_what_means_nothing_is_refused_with_a_sentence(client, compared, path, query):
    signed_in(client, "viewer")
    of = "&provider=openai" if "model" in path and "provider" not in query else ""

    answer = client.get(f"{path}?{query}{of}")

    assert answer.status_code == 400
    assert "TOTAL" not in answer.content.decode()


def test_a_model_s_page_needs_a_provider_and_nothing_odd(client, compared):
    signed_in(client, "viewer")

    assert client.get(f"/reconciliation/model/?{JUNE}").status_code == 400
    assert client.get(f"/reconciliation/model/?{JUNE}&provider=openai&model=%00").status_code == 400
    assert client.get(f"/reconciliation/table.csv?{JUNE}&by=moon").status_code == 400
    nothing = client.get(f"/reconciliation/model/?{JUNE}&provider=openai&model=unheard-of")
    assert nothing.status_code == 200


def test_names_from_statements_are_text(client):
    make_priced_offering()
    content = openai_usage({D1: [{"model": HOSTILE, "project_id": HOSTILE, "api_key_id": "=1+1"}]})
    bring(content, at=NOW, file_name=HOSTILE, account=HOSTILE)
    signed_in(client, "finance")

    for path in ("/reconciliation/", "/reconciliation/files/", f"/reconciliation/model/?{JUNE}&provider=openai"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert HOSTILE not in answer.content.decode(), path


def test_no_formula_leaves_in_the_file(client):
    bring(openai_usage({D1: [{"model": "=cmd()"}]}), at=NOW)
    signed_in(client, "viewer")

    (row, _) = table(client.get(f"/reconciliation/table.csv?{JUNE}"))

    assert row["model"] == "'=cmd()"


def test_queries_of_the_pages_do_not_grow_with_the_data(client, compared):
    signed_in(client, "viewer")
    few = [queries(client, path) for path in _PAGES]

    names = [f"gpt-{number}" for number in range(6)]
    at = datetime(2026, 6, 15, 13, tzinfo=UTC)
    for name in names:
        make_priced_offering(f"{name}@openai")
        send(make_event(model=name, occurred_at=at), received_at=at + timedelta(seconds=1))
        bring(openai_usage({D1: [{"model": name} for name in names], D2: [{"model": name}]}), at=NOW, account=name)

    assert [queries(client, path) for path in _PAGES] == few
    assert few == [17, 26, 8]


_PAGES = (f"/reconciliation/?{JUNE}", f"/reconciliation/model/?{JUNE}&provider=openai", "/reconciliation/files/")


def queries(client, path) -> int:
    client.get(path)  # the catalogue is in memory from here on
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


# --- files ---


def upload(client, content: bytes, **fields):
    given = {"format": "openai-usage", "account": "", "gateway": "", **fields}
    return client.post("/reconciliation/files/upload/", {**given, "file": SimpleUploadedFile("export.json", content)})


def test_finance_imports_a_statement_and_sees_it_beside_the_ledger(client):
    making.make_gateway("edge")
    person = signed_in(client, "finance")

    answer = upload(client, openai_usage({D1: [{}]}, has_more=True), account="Acme", gateway="edge")

    assert answer.url == "/reconciliation/?from=2026-06-15&to=2026-06-15&provider=openai"
    row = StatementFile.objects.get()
    assert (row.account, row.gateway.name, row.imported_by) == ("Acme", "edge", person.email)
    page = client.get(answer.url).content.decode()
    assert "1 line, " in page
    assert "has_more" in page


def test_the_same_file_again_is_said_to_be_known(client):
    signed_in(client, "finance")
    upload(client, openai_usage({D1: [{}]}))

    answer = upload(client, openai_usage({D1: [{}]}))

    assert "imported before" in client.get(answer.url).content.decode()
    assert StatementFile.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "fields", "words"),
    [
        (b"nonsense", {}, "not JSON"),
        (openai_costs({D1: {"a": "1"}}), {}, "another export"),
        (openai_usage({D1: [{}]}), {"format": "fax"}, "not one of the available choices"),
        (openai_usage({D1: [{}]}), {"gateway": "nowhere"}, "not one of the available choices"),
        (b"", {}, "empty"),
    ],
)
def test_a_bad_file_is_refused_at_its_field_and_nothing_is_kept(client, content, fields, words):
    signed_in(client, "finance")

    answer = upload(client, content, **fields)

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not StatementFile.objects.exists()


def test_without_a_file_the_form_asks_for_one(client):
    signed_in(client, "finance")

    answer = client.post("/reconciliation/files/upload/", {"format": "openai-usage"})

    assert answer.status_code == 422
    assert "Choose a file." in answer.content.decode()


def test_a_file_is_withdrawn_with_a_reason(client, compared):
    signed_in(client, "finance")
    newest = StatementFile.objects.latest("pk")
    path = f"/reconciliation/files/{newest.pk}/withdraw/"

    asked, empty = client.get(path), client.post(path, {"reason": " "})
    done = client.post(path, {"reason": "wrong organisation"})

    assert "2 days of it count" in asked.content.decode()
    assert (empty.status_code, done.status_code) == (422, 302)
    page = client.get("/reconciliation/files/").content.decode()
    assert "wrong organisation" in page
    assert "no cost export" in client.get(f"/reconciliation/?{JUNE}").content.decode()
    assert client.get(path).status_code == 302
    assert client.get("/reconciliation/files/999999/withdraw/").status_code == 404


def test_files_are_paged(client, monkeypatch):
    from dashboards.views import reconciliation_files

    monkeypatch.setattr(reconciliation_files, "PER_PAGE", 1)
    first = bring(openai_usage({D1: [{}]}), at=NOW, file_name="first.json")
    second = bring(openai_usage({D1: [{"input_tokens": 1}]}), at=NOW, file_name="second.json")
    signed_in(client, "viewer")

    page = client.get("/reconciliation/files/").content.decode()
    later = client.get(f"/reconciliation/files/?before={second.id}").content.decode()

    assert ("second.json" in page, "first.json" in page) == (True, False)
    assert ("first.json" in later, "replaced" in later) == (True, True)
    assert first.id < second.id
    assert client.get("/reconciliation/files/?before=moon").status_code == 404
    assert client.get("/reconciliation/files/?colour=red").status_code == 404


# --- who may ---


def test_strangers_are_sent_to_sign_in(client, compared):
    for path in ("/reconciliation/", "/reconciliation/model/", "/reconciliation/table.csv", "/reconciliation/files/"):
        assert client.get(path).status_code == 302, path


def test_whoever_may_only_look_imports_and_withdraws_nothing(client, compared):
    signed_in(client, "viewer")
    newest = StatementFile.objects.latest("pk")

    sent = upload(client, openai_usage({D1: [{"input_tokens": 5}]}))
    asked = client.get(f"/reconciliation/files/{newest.pk}/withdraw/")
    withdrawn = client.post(f"/reconciliation/files/{newest.pk}/withdraw/", {"reason": "x"})

    assert (sent.status_code, asked.status_code, withdrawn.status_code) == (403, 403, 403)
    assert (StatementFile.objects.count(), StatementFile.objects.filter(withdrawn_at=None).count()) == (2, 2)
    page = client.get("/reconciliation/files/").content.decode()
    assert "Import the file" not in page
    assert "Withdraw</a>" not in page


def test_a_file_that_is_too_large_is_refused(client, monkeypatch):
    monkeypatch.setattr(statements, "LARGEST_FILE_BYTES", 10)
    signed_in(client, "finance")

    answer = upload(client, b" " * 11)

    assert answer.status_code == 422
    assert "10 at most" in answer.content.decode()
