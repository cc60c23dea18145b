"""Tables of prices in the console: read, shown side by side with the book, accepted after their effect or rejected."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from catalog.models import Amendment, Price, PriceImport, PriceProposal
from catalog.services import imports
from catalog.sources import csv_file
from core.models import AuditEntry
from dashboards.views import prices_import, prices_proposals
from tests.catalog.importing import GPT, OPUS, installed, proposals, propose, quote
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.usage import making

pytestmark = pytest.mark.django_db
URL = "/prices/import/"
PRICED = {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 5e-6, "output_cost_per_token": 3e-5}
CSV = b"offering,meter,usd_per_1m\ngpt-5.5@openai,uncached_input,4\n"


def upload(client, source, content, name="prices.json", **more):
    return client.post(f"{URL}upload/", {"source": source, "file": SimpleUploadedFile(name, content), **more})


def propose_two():
    """Let a table say otherwise of GPT's input and know Opus, which the book does not; returns the import's address."""
    making.make_priced_offering()
    made = propose(quote("4"), quote("7", OPUS), problems=(("sonar", "no price that a meter could have"),))
    return f"{URL}{made.import_id}/"


def ids(**filters):
    return [str(pk) for pk in PriceProposal.objects.filter(**filters).order_by("pk").values_list("pk", flat=True)]


def confirmed(client, url, data):
    """Send what was chosen, look at the effect, and confirm it with what the page sends."""
    page = client.post(url, data).content.decode()
    (digest,) = re.findall(r'name="confirm" value="([0-9a-f]{32})"', page)
    reason = re.findall(r'type="hidden" name="reason" value="([^"]*)"', page)[0]
    sent = {"do": "accept", "reason": reason, "ids": re.findall(r'name="ids" value="(\d+)"', page), "confirm": digest}
    return client.post(url, sent)


def test_the_installed_table_is_read_with_one_button(client):
    person = signed_in(client, "platform")

    with installed("anthropic", "mistral") as models:
        answer = client.post(f"{URL}read/")
        again = client.post(f"{URL}read/")

    made = PriceImport.objects.get()
    assert answer["Location"] == f"{URL}{made.pk}/"
    assert again["Location"] == f"{URL}{made.pk}/", "what waits already is shown"
    assert (made.source, made.by, made.models_count) == ("genai-prices", person.email, models)
    page = client.get(URL).content.decode()
    assert f'href="{URL}{made.pk}/"' in page
    assert not Price.objects.exists(), "reading prices nothing"


def test_a_litellm_table_and_a_csv_file_are_uploaded(client):
    making.make_priced_offering()
    signed_in(client, "finance")

    upload(client, "litellm", json.dumps({"gpt-6": PRICED}).encode())
    answer = upload(client, "csv", CSV, name="ours.csv")

    assert proposals() == [("new", "gpt-6@openai", "open"), ("changed", GPT, "open")]
    newest = PriceImport.objects.latest("pk")
    assert answer["Location"] == f"{URL}{newest.pk}/"
    assert "ours.csv" in client.get(URL).content.decode()


def test_a_table_that_says_what_the_book_says_leaves_nothing_but_a_message(client):
    making.make_priced_offering()
    signed_in(client, "finance")

    answer = upload(client, "csv", CSV.replace(b",4", b",5"))

    assert answer["Location"] == URL
    assert "nothing new" in client.get(URL).content.decode()
    assert not PriceImport.objects.exists()


@pytest.mark.parametrize(
    ("source", "content", "sentence"),
    [
        ("litellm", b"not json", "nothing of it was used"),
        ("litellm", b"", "nothing of it was used"),
        ("csv", b"offering,price\nx,1\n", "Line 1"),
        ("csv", CSV + b"gpt-5.5@openai,words,1\n", "Line 3"),
        ("csv", b"\xff\xfe", "not text in UTF-8"),
        ("csv", b"", "nothing of it was used"),
        ("toml", CSV, "Select a valid choice"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole_with_the_reason(client, source, content, sentence):
    signed_in(client, "finance")

    answer = upload(client, source, content)

    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert not PriceProposal.objects.exists()


@pytest.mark.parametrize("name", ["m\0", "m\ud800"])
def test_a_file_with_characters_that_nothing_can_hold_is_refused(client, name):
    signed_in(client, "finance")

    answer = upload(client, "litellm", json.dumps({name: PRICED | {"input_cost_per_token": -1}}).encode())

    assert answer.status_code == 422
    assert "nothing of it was used" in answer.content.decode()


def test_without_a_file_and_with_one_that_is_too_large_the_form_says_so(client, monkeypatch):
    signed_in(client, "finance")

    none = client.post(f"{URL}upload/", {"source": "csv"})
    monkeypatch.setattr(prices_import, "LARGEST_FILE_BYTES", 10)
    large = upload(client, "csv", CSV)

    assert none.status_code == large.status_code == 422
    assert "Choose a file." in none.content.decode()
    assert f"has {len(CSV)} bytes; a table of prices has 10 at most" in large.content.decode()


def test_a_table_that_shrank_is_refused_until_a_box_is_ticked(client):
    signed_in(client, "finance")
    upload(client, "litellm", json.dumps({f"gpt-{n}": PRICED for n in range(20)}).encode())
    small = json.dumps({"gpt-0": PRICED}).encode()

    refused = upload(client, "litellm", small)

    page = refused.content.decode()
    assert refused.status_code == 422
    assert "shrank" in page
    assert 'name="accept_shrunk"' in page
    assert upload(client, "litellm", small, accept_shrunk="on").status_code == 302
    assert 'name="accept_shrunk"' not in client.get(URL).content.decode()


def test_proposals_stand_side_by_side_with_the_book_and_with_other_tables(client):
    making.make_priced_offering()
    propose(quote("4.5"), source="csv")
    made = propose(quote("4"))
    signed_in(client, "viewer")

    page = client.get(f"{URL}{made.import_id}/").content.decode()

    for words in ("gpt-5.5@openai", "$5.00", "$4.00", "-20.0 %", "csv $4.50", "disagrees by more than 1 per cent",
                  "sources disagree", "changed", "Changes 1 price", "from acceptance on"):  # fmt: skip
        assert words in page, words


def test_what_agrees_is_folded_away_and_what_could_not_be_read_is_listed(client):
    making.make_priced_offering()
    made = propose(quote("4"), quote("30", meter="output"), problems=(("sonar", "no price that a meter could have"),))
    signed_in(client, "viewer")

    page = client.get(f"{URL}{made.import_id}/").content.decode()

    assert "agree or stay as they are" in page
    assert "Output: $30.00" in page
    assert "1 name that could not be read in full" in page
    assert "no price that a meter could have" in page


def test_proposals_are_narrowed_by_kind_state_name_and_agreement(client):
    url = propose_two()
    signed_in(client, "viewer")

    def shown(query):
        page = client.get(f"{url}?{query}").content.decode()
        return [name for name in (GPT, OPUS) if f'class="tk-break">{name}' in page]

    assert shown("") == shown("kind=known") == [GPT]
    assert shown("kind=all") == [GPT, OPUS]
    assert shown("kind=new") == [OPUS]
    assert shown("kind=changed") == [GPT]
    assert shown("q=OPUS") == [OPUS]
    assert shown("kind=gone") == []
    assert shown("disputed=yes") == []
    assert shown("state=rejected") == []
    assert shown("state=all") == [GPT, OPUS]


def test_a_page_begins_with_what_the_catalogue_has_and_leads_to_the_rest(client):
    making.make_priced_offering()
    book(call(provider="anthropic", model="claude-opus-4.7", usd=10))
    made = propose(quote("4"), quote("7", OPUS), quote("1", "a-first@acme"), quote("1", "b-second@acme"))
    url = f"{URL}{made.import_id}/"
    signed_in(client, "finance")

    page = client.get(url).content.decode()
    others = client.get(f"{url}?kind=all").content.decode()
    named = client.get(f"{url}?q=a-first").content.decode()

    assert (GPT in page, OPUS in page, "a-first@acme" in page) == (True, True, False)
    assert "In your catalogue 2" in page
    assert f'<a href="{url}?kind=all">2 others are new to the catalogue</a>' in page
    assert "a-first@acme" in others
    assert "a-first@acme" in named, "a search looks through all"


def test_what_was_chosen_of_the_catalogue_leaves_the_rest_alone(client):
    url = propose_two()
    signed_in(client, "finance")
    sent = dict(re.findall(r'type="hidden" name="(kind|state)" value="([^"]*)"', client.get(url).content.decode()))

    client.post(f"{url}settle/", {**sent, "do": "reject", "all": "on", "reason": "no"})

    assert sorted(proposals()) == [("changed", GPT, "rejected"), ("new", OPUS, "open")]
    page = client.get(url).content.decode()
    assert OPUS in page, "with nothing of the catalogue left, the rest is shown"
    assert "In your catalogue" not in page


def test_a_long_import_comes_in_pages(client):
    making.make_priced_offering()
    count = prices_proposals.PER_PAGE + 1
    made = propose(*(quote("4", f"model-{n:03}@openai") for n in range(count)))
    signed_in(client, "viewer")
    url = f"{URL}{made.import_id}/"

    first = client.get(f"{url}?kind=new").content.decode()
    (more,) = re.findall(r'href="([^"]+)" rel="next"', first)
    second = client.get(more.replace("&amp;", "&")).content.decode()

    last = f"model-{count - 1:03}@openai"
    assert last not in first
    assert last in second
    assert "kind=new" in more


@pytest.mark.parametrize(
    "query", ["kind=x", "state=x", "disputed=x", "after=x", "after=1:", "after=0:x", "q=%00", f"q={'x' * 201}",
              "after=1:%00", "after=9999999999999999999:x"],
)  # fmt: skip
def test_what_cannot_be_asked_is_answered_with_404(client, query):
    url = propose_two()
    signed_in(client, "viewer")

    assert client.get(f"{url}?{query}").status_code == 404
    assert client.get(f"{URL}999/").status_code == 404
    assert client.get(f"{URL}?before=x").status_code == 404


def test_what_is_ticked_is_accepted_after_its_effect_was_shown(client):
    url = propose_two()
    book(call(usd=10, at=timezone.now() - timedelta(hours=1)))
    person = signed_in(client, "finance")
    chosen = ids(kind="changed")

    shown = client.post(f"{url}settle/", {"do": "accept", "ids": chosen, "reason": "their page says so"})

    assert shown.status_code == 200
    assert "Accept 1 proposal" in shown.content.decode()
    assert "What this does" in shown.content.decode()
    assert proposals(state="accepted") == []

    done = confirmed(client, f"{url}settle/", {"do": "accept", "ids": chosen, "reason": "their page says so"})

    assert done["Location"] == url
    assert sorted(proposals()) == [("changed", GPT, "accepted"), ("new", OPUS, "open")]
    price = Price.objects.get(recorded__upper_inf=True, valid__upper_inf=True, series__meter="uncached_input")
    assert (price.usd_per_1m, price.source, price.approved_by) == (Decimal(4), "litellm", person.email)
    assert AuditEntry.objects.filter(reason="their page says so").exists()


def test_a_new_offering_is_priced_for_the_past_too_and_the_effect_says_so(client):
    making.make_priced_offering()
    book(call(provider="anthropic", model="claude-opus-4.7", usd=10))
    made = propose(quote("7", OPUS))
    url = f"{URL}{made.import_id}/"
    signed_in(client, "approver")
    data = {"do": "accept", "ids": ids()}

    page = client.post(f"{url}settle/", data).content.decode()

    assert "1 event with" in page
    assert "are unpriced now" in page
    confirmed(client, f"{url}settle/", data)
    assert Amendment.objects.filter(reason__startswith="prices of litellm").count() == 1


def test_all_that_the_filters_find_is_chosen_on_every_page(client):
    url = propose_two()
    propose(quote("9", "other@openai"), source="csv")
    signed_in(client, "finance")

    only_new = client.post(f"{url}settle/", {"do": "accept", "all": "on", "kind": "new"}).content.decode()
    confirmed(client, f"{url}settle/", {"do": "accept", "all": "on"})

    assert "Accept 1 proposal" in only_new
    assert proposals(state="open") == [("new", "other@openai", "open")], "those of other imports stay"
    assert len(proposals(state="accepted")) == 2


def test_all_are_those_that_wait(client):
    url = propose_two()
    signed_in(client, "finance")
    client.post(f"{url}settle/", {"do": "reject", "ids": ids(kind="new"), "reason": "not used here"})

    confirmed(client, f"{url}settle/", {"do": "accept", "all": "on", "state": "all"})

    assert sorted(proposals()) == [("changed", GPT, "accepted"), ("new", OPUS, "rejected")]


def test_what_was_confirmed_is_what_was_shown(client):
    url = propose_two()
    signed_in(client, "finance")
    shown = client.post(f"{url}settle/", {"do": "accept", "ids": ids(kind="new")}).content.decode()
    (digest,) = re.findall(r'name="confirm" value="([0-9a-f]{32})"', shown)

    other = client.post(f"{url}settle/", {"do": "accept", "ids": ids(kind="changed"), "confirm": digest})

    assert other.status_code == 200
    assert proposals(state="accepted") == []


def test_more_than_can_be_settled_at_once_is_refused_with_what_to_do(client, monkeypatch):
    url = propose_two()
    monkeypatch.setattr(imports, "MOST_AT_ONCE", 1)
    signed_in(client, "finance")

    for chosen in ({"all": "on"}, {"ids": ids()}):
        answer = client.post(f"{url}settle/", {"do": "accept", **chosen})
        assert answer.status_code == 422
        assert "at once" in answer.content.decode()


def test_a_rejection_needs_a_reason_and_keeps_what_was_ticked(client):
    url = propose_two()
    signed_in(client, "approver")
    chosen = ids(kind="changed")

    refused = client.post(f"{url}settle/", {"do": "reject", "ids": chosen})

    assert refused.status_code == 422
    assert "Say why" in refused.content.decode()
    assert re.search(rf'id="proposal-{chosen[0]}" checked', refused.content.decode())
    assert proposals(state="rejected") == []

    client.post(f"{url}settle/", {"do": "reject", "ids": chosen, "reason": "we have a contract"})

    assert proposals(state="rejected") == [("changed", GPT, "rejected")]
    assert propose(quote("4"), quote("7", OPUS)).settled == 1, "the same is not proposed again"


def test_what_somebody_else_settled_meanwhile_is_said_and_nothing_happens(client):
    url = propose_two()
    signed_in(client, "finance")
    shown = client.post(f"{url}settle/", {"do": "accept", "ids": ids()}).content.decode()
    (digest,) = re.findall(r'name="confirm" value="([0-9a-f]{32})"', shown)
    imports.reject(proposal_ids=[int(ids()[0])], by="other@example.com", at=timezone.now(), reason="no")

    late = client.post(f"{url}settle/", {"do": "accept", "ids": ids(), "reason": "", "confirm": digest})
    again = client.post(f"{url}settle/", {"do": "reject", "ids": ids(), "reason": "no"})

    assert late.status_code == again.status_code == 422
    assert "settled already" in late.content.decode()
    assert "settled already" in again.content.decode()
    assert proposals(state="accepted") == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"do": "accept"}, "Choose at least one offering."),
        ({"do": "accept", "ids": ["x"]}, "not to be found"),
        ({"do": "accept", "ids": ["999999"]}, "not to be found"),
        ({"do": "accept", "ids": ["9" * 30]}, "not to be found"),
        ({"do": "reject", "reason": "no", "all": "on", "q": "nothing"}, "Choose at least one offering."),
        ({"do": "dance", "all": "on"}, "accept or to reject"),
        ({"do": "accept", "all": "on", "reason": "\0"}, "Null characters are not allowed."),
    ],
)
def test_a_choice_that_means_nothing_is_answered_with_a_sentence(client, data, sentence):
    url = propose_two()
    signed_in(client, "finance")

    answer = client.post(f"{url}settle/", data)

    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert {state for _, _, state in proposals()} == {"open"}


def test_proposals_of_another_import_are_not_settled_through_this_one(client):
    url = propose_two()
    other = propose(quote("9", "other@openai"), source="csv")
    signed_in(client, "finance")

    answer = client.post(f"{url}settle/", {"do": "accept", "ids": ids(of_import=other.import_id)})

    assert answer.status_code == 422


@pytest.mark.parametrize("role", ["viewer", "engineer", "approver"])
def test_who_may_not_propose_prices_reads_no_table(client, role):
    signed_in(client, role)

    page = client.get(URL).content.decode()

    assert "Read genai-prices" not in page
    assert "Somebody with the role finance or platform" in page
    assert client.post(f"{URL}read/").status_code == 403
    assert upload(client, "csv", CSV).status_code == 403
    assert not PriceProposal.objects.exists()


@pytest.mark.parametrize("role", ["viewer", "engineer", "platform"])
def test_who_may_not_approve_prices_settles_nothing(client, role):
    url = propose_two()
    signed_in(client, role)

    page = client.get(url).content.decode()

    assert 'name="do"' not in page
    assert 'name="ids"' not in page
    for do in ("accept", "reject"):
        assert client.post(f"{url}settle/", {"do": do, "ids": ids(), "reason": "no"}).status_code == 403
    assert {state for _, _, state in proposals()} == {"open"}


def test_strangers_are_sent_to_sign_in(client):
    url = propose_two()

    assert client.get(url)["Location"].startswith("/accounts/login/")
    for path in (f"{URL}read/", f"{URL}upload/", f"{url}settle/"):
        assert client.post(path)["Location"].startswith("/accounts/login/"), path
    signed_in(client, "finance")
    for path in (f"{URL}read/", f"{URL}upload/", f"{url}settle/"):
        assert client.get(path).status_code == 405, path


def test_what_a_table_says_stays_text(client):
    making.make_priced_offering()
    made = propose(
        quote("4", note=HOSTILE, source_url="javascript:alert(1)"), problems=((HOSTILE, HOSTILE),), version=HOSTILE
    )
    signed_in(client, "finance")

    for path in (URL, f"{URL}{made.import_id}/"):
        page = client.get(path).content.decode()
        assert HOSTILE not in page, path
        assert 'href="javascript' not in page
    accepting = client.post(f"{URL}{made.import_id}/settle/", {"do": "accept", "all": "on", "reason": HOSTILE})
    assert HOSTILE not in accepting.content.decode()


def test_the_columns_that_are_explained_are_those_that_are_read_and_the_sample_is_readable(client):
    signed_in(client, "viewer")

    sample = client.get(f"{URL}sample.csv")

    explained = {name.strip() for names, _, _ in prices_import.COLUMNS for name in names.split(",")}
    assert explained | {"model", "provider"} == set(csv_file.COLUMNS)
    assert "attachment" in sample["Content-Disposition"]
    assert len(csv_file.read(sample.content).quotes) == 5


def test_the_pages_ask_the_same_few_questions_however_much_there_is(client, django_assert_num_queries):
    url = propose_two()
    signed_in(client, "viewer")
    client.get(URL)

    with django_assert_num_queries(LIST_QUERIES):
        client.get(URL)
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(url)
    propose(*(quote("4", f"model-{n}@openai") for n in range(5)), source="csv")
    newest = PriceImport.objects.latest("pk").pk
    with django_assert_num_queries(LIST_QUERIES):
        client.get(URL)
    with django_assert_num_queries(PAGE_QUERIES):
        client.get(f"{URL}{newest}/")


LIST_QUERIES = 10
PAGE_QUERIES = 10
