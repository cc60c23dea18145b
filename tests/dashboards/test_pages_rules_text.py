"""Rules as JSON and YAML in the console: downloaded, pasted, uploaded, and refused without losing a word."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from routing.rules import document, texts
from tests.dashboards.making_rules import PRODUCTION, at, draft_of, furnish, version_of
from tests.dashboards.seeing import signed_in
from tests.routing.making import make_content, make_rule

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


@pytest.mark.parametrize("form", texts.FORMS)
def test_a_version_and_a_draft_are_downloaded_as_files_that_say_the_same(client, form):
    version = version_of()
    draft = draft_of(make_content(make_rule(title="größer")))
    signed_in(client, "viewer")

    of_version = client.get(f"{PRODUCTION}versions/1/rules.{form}")
    of_draft = client.get(at(draft, f"rules.{form}"))

    read, _ = texts.read(of_version.content.decode(), form)
    assert document.canonical(read) == bytes(version.canonical)
    assert of_version["Content-Disposition"] == f'attachment; filename="rules-production-1.{form}"'
    assert of_version["Content-Type"].startswith(f"application/{form}")
    read, _ = texts.read(of_draft.content.decode(), form)
    assert read == draft.content


@pytest.mark.parametrize("path", ["versions/9/rules.yaml", "versions/1/rules.xml", "drafts/999999/rules.yaml"])
def test_what_is_not_there_is_not_downloaded(client, path):
    version_of()
    signed_in(client, "viewer")

    assert client.get(PRODUCTION + path).status_code == 404


@pytest.mark.parametrize("form", texts.FORMS)
def test_a_text_that_was_changed_is_saved(client, form):
    draft = draft_of()
    signed_in(client, "engineer")
    shown = client.get(at(draft, f"text/?format={form}")).context["text"]

    answer = client.post(at(draft, "text/"), {"saves": "0", "content": shown.replace("code-high", "code-low")})

    draft.refresh_from_db()
    assert answer["Location"] == at(draft)
    assert draft.content == make_content(make_rule("code-low")) | {"offerings": draft.content["offerings"]}


def test_a_file_takes_the_place_of_what_stands_in_the_field(client):
    draft = draft_of()
    signed_in(client, "engineer")
    text = texts.written(make_content(make_rule("from-file")), texts.YAML).replace("\n", "\r\n")
    file = SimpleUploadedFile("rules.yml", b"\xef\xbb\xbf" + text.encode())

    client.post(at(draft, "text/"), {"saves": "0", "content": "nonsense", "file": file})

    draft.refresh_from_db()
    assert [rule["id"] for rule in draft.content["rules"]] == ["from-file"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: 1.0\nrules: no\n", ["Line 1", "Line 2", "decimal string", "is there twice"]),
        ('{"rules": [],}', ["Line 1", "Expecting property name"]),
        ("rules: []\ndefault:\n  targets: []\n", ["Line 3", "/default/targets"]),
        ("rules:\n- id: no spaces\n  targets: []\ndefault: {targets: []}\n", ["Line 2", "Line 3", "Line 4"]),
        ("", ["There is nothing in it."]),
        ("</textarea><script>alert(1)</script>: *a", ["aliases are not read"]),
    ],
)
def test_what_is_refused_comes_back_as_it_was_typed_with_every_reason_and_its_line(client, text, said):
    draft = draft_of()
    signed_in(client, "engineer")

    answer = client.post(at(draft, "text/"), {"saves": "0", "content": text})

    page = answer.content.decode()
    draft.refresh_from_db()
    assert (answer.status_code, answer.context["text"], draft.saves) == (422, text, 0)
    for words in said:
        assert words in page
    assert "<script>alert" not in page


def test_too_much_and_what_is_no_text_are_refused_in_words(client):
    draft = draft_of()
    signed_in(client, "engineer")
    rules = [make_rule(f"r{n}", use_cases=[f"u{n}"]) for n in range(501)]
    large = [make_rule(f"r{n}", use_cases=[f"u{n}"], rationale="x" * 3900) for n in range(260)]

    many = client.post(at(draft, "text/"), {"saves": "0", "content": texts.written(make_content(*rules), "yaml")})
    bytes_ = client.post(at(draft, "text/"), {"saves": "0", "content": texts.written(make_content(*large), "yaml")})
    binary = client.post(
        at(draft, "text/"), {"saves": "0", "content": "kept: 1", "file": SimpleUploadedFile("x.yaml", b"\xff\xfe")}
    )

    assert [one.status_code for one in (many, bytes_, binary)] == [422, 422, 422]
    assert "A set of rules holds at most 500 rules." in many.content.decode()
    assert "at most 1,000,000 are allowed" in bytes_.content.decode()
    assert "no text in UTF-8" in binary.content.decode()
    assert binary.context["text"] == "kept: 1"


def test_what_somebody_else_saved_meanwhile_is_not_undone_unseen(client):
    draft = draft_of()
    signed_in(client, "engineer")
    mine, theirs = (texts.written(make_content(make_rule(name)), "yaml") for name in ("mine", "theirs"))
    client.post(at(draft, "text/"), {"saves": "0", "content": theirs})

    answer = client.post(at(draft, "text/"), {"saves": "0", "content": mine})
    again = client.post(at(draft, "text/"), {"saves": str(answer.context["row"].saves), "content": mine})

    assert (answer.status_code, answer.context["text"]) == (409, mine)
    assert "rule theirs removed; rule mine added" in answer.content.decode()
    assert again.status_code == 302


def test_who_may_not_edit_sees_no_text_to_edit_and_saves_none(client):
    draft = draft_of()
    signed_in(client, "approver")

    assert client.get(at(draft, "text/")).status_code == 403
    assert client.post(at(draft, "text/"), {"saves": "0", "content": "rules: []"}).status_code == 403


def test_a_bad_format_is_not_there(client):
    draft = draft_of()
    signed_in(client, "engineer")

    assert client.get(at(draft, "text/?format=xml")).status_code == 404
