from __future__ import annotations

import random
from typing import Any

import pytest
from django.utils import timezone

from routing.models import Proposal
from routing.rules import document
from routing.services import proposals
from tests.dashboards.making_rules import ROLES, at, draft_of, form_of, furnish
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.drawing import rounds
from tests.routing.making import make_content, make_rule

pytestmark = pytest.mark.django_db

FENCE = {"count": "code_fences", "at_least": 1}
BUGS = {"count": "keywords", "words": ["bug", "stack trace"], "at_least": 1}
LABELS: dict[str, Any] = {
    "tasks": [
        {"task": "code", "any": [FENCE, BUGS]},
        {"task": "chat", "any": [{"count": "characters", "at_most": 40}]},
    ],
    "complexity": [{"points": 30, "count": "characters", "at_least": 2000}],
}
ROWS = {
    "saves": "0",
    "task-0-task": "code", "task-0-count": "code_fences", "task-0-at_least": "1",
    "task-1-task": "code", "task-1-count": "keywords", "task-1-at_least": "1", "task-1-words": "bug, stack trace",
    "task-2-task": "chat", "task-2-count": "characters", "task-2-at_most": "40",
    "point-0-points": "30", "point-0-count": "characters", "point-0-at_least": "2000",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def labelled(heuristics: Any = LABELS) -> Proposal:
    return draft_of(make_content(make_rule(), heuristics=heuristics))


def kept(draft: Proposal) -> Any:
    draft.refresh_from_db()
    return draft.content.get("heuristics")


def errors_of(answer: Any) -> dict[str, list[str]]:
    form = answer.context["form"]
    found = {
        f"{row.prefix}-{name}": list(texts)
        for rows in form.rows.values() for row in rows for name, texts in row.errors.items()
    }  # fmt: skip
    return found | ({"form": form.problems} if form.problems else {})


def test_rows_become_heuristics_and_the_rules_stay(client):
    draft = draft_of()
    before = draft.content
    person = signed_in(client, "engineer")

    answer = client.post(at(draft, "labels/"), ROWS)

    assert answer["Location"] == at(draft, "#labels")
    assert kept(draft) == LABELS
    assert {name: draft.content[name] for name in before} == before
    assert list(draft.contributions.values_list("by", flat=True))[-1] == person.email


def test_what_was_opened_and_saved_untouched_stays_byte_for_byte(client):
    odd = {
        "tasks": [
            {"task": "code", "any": [FENCE]},
            {"task": "code", "any": [BUGS | {"words": ["a, b", "c++"]}]},
            {"task": "chat", "any": [{"count": "lines", "at_least": 0, "at_most": 3}]},
        ],
        "complexity": [],
    }
    draft = labelled(odd)
    bytes_before = document.canonical(draft.content)
    signed_in(client, "engineer")

    page = client.get(at(draft, "labels/")).content.decode()
    answer = client.post(at(draft, "labels/"), form_of(page))

    draft.refresh_from_db()
    assert answer.status_code == 302
    assert (document.canonical(draft.content), draft.saves) == (bytes_before, 0)


def test_a_word_with_a_comma_stays_whole_when_another_row_is_edited(client):
    draft = labelled({"tasks": [{"task": "code", "any": [BUGS | {"words": ["a, b"]}, FENCE]}]})
    signed_in(client, "engineer")
    sent = form_of(client.get(at(draft, "labels/")).content.decode()) | {"task-1-at_least": "2"}

    client.post(at(draft, "labels/"), sent)

    assert kept(draft)["tasks"][0]["any"] == [BUGS | {"words": ["a, b"]}, FENCE | {"at_least": 2}]


def test_without_rows_there_are_no_heuristics(client):
    draft = labelled()
    signed_in(client, "engineer")

    client.post(at(draft, "labels/"), {"saves": "0", "task-0-at_least": "1", "point-0-at_least": "1"})

    assert kept(draft) is None
    assert "heuristics" not in draft.content


def test_rows_are_added_moved_and_removed_and_nothing_is_saved_by_it(client):
    draft = labelled()
    signed_in(client, "engineer")

    def rows(step: dict[str, str]) -> list[str]:
        answer = client.post(at(draft, "labels/"), ROWS | step, headers={"HX-Request": "true"})
        assert answer.content.decode().startswith("<form")
        return [
            f"{row.form['task'].value() or ''} {row.form['count'].value()}" for row in answer.context["form"].tasks
        ]  # fmt: skip

    fence, words, chat = "code code_fences", "code keywords", "chat characters"
    assert rows({"add": "task"}) == [fence, words, chat, " keywords"]
    assert rows({"drop": "task-0"}) == [words, chat]
    assert rows({"up": "task-2"}) == [fence, chat, words]
    assert rows({"up": "task-0"}) == rows({"drop": "task-9"}) == rows({"add": "colour"}) == [fence, words, chat]
    assert kept(draft) == LABELS


def test_every_row_says_in_plain_words_what_it_does(client):
    draft = labelled(LABELS | {"complexity": [{"points": -5, "count": "lines", "at_most": 1}]})
    signed_in(client, "engineer")

    page = client.get(at(draft, "labels/")).content.decode()

    assert "A text with at least 1 code fence line is code." in page
    assert "A text with any of the words bug, stack trace is code." in page
    assert "A text with at most 1 line takes away 0.05." in page


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"task-0-task": " "}, "task-0-task"),
        ({"task-0-task": "x" * 65}, "task-0-task"),
        ({"task-0-at_least": "one"}, "task-0-at_least"),
        ({"task-0-at_least": "-1"}, "task-0-at_least"),
        ({"task-0-at_least": "\N{ARABIC-INDIC DIGIT THREE}"}, "task-0-at_least"),
        ({"task-0-at_least": "100001"}, "task-0-at_least"),
        ({"task-0-at_least": ""}, "task-0-at_least"),
        ({"task-0-count": "tokens"}, "task-0-count"),
        ({"task-0-words": "bug"}, "task-0-words"),
        ({"task-1-words": " , "}, "task-1-words"),
        ({"task-1-words": "x" * 65}, "task-1-words"),
        ({"task-1-words": "a\x01b"}, "task-1-words"),
        ({"task-1-words": ",".join(f"w{n}" for n in range(201))}, "task-1-words"),
        ({"point-0-points": "many"}, "point-0-points"),
        ({"point-0-points": "101"}, "point-0-points"),
        ({"point-0-points": "1.5"}, "point-0-points"),
    ],
)
def test_what_cannot_be_read_is_said_at_its_field_and_not_saved(client, typed, field):
    draft = labelled()
    signed_in(client, "engineer")

    answer = client.post(at(draft, "labels/"), ROWS | typed)

    assert (answer.status_code, set(errors_of(answer))) == (422, {field})
    assert draft.saves == 0
    assert kept(draft) == LABELS


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"task-0-at_most": "0"}, "task-0-at_least"),
        ({"task-1-at_least": "3"}, "task-1-at_least"),
        ({"task-1-words": "bug, Bug"}, "task-1-words"),
        ({"task-1-at_least": "", "task-1-at_most": "2"}, "task-2-task"),
    ],
)
def test_what_cannot_work_is_saved_only_when_it_is_said_so(client, typed, field):
    draft = labelled()
    signed_in(client, "engineer")

    warned = client.post(at(draft, "labels/"), ROWS | typed)
    anyway = client.post(at(draft, "labels/"), ROWS | typed | {"anyway": "1"})

    assert (warned.status_code, set(errors_of(warned))) == (422, {field})
    assert anyway.status_code == 302
    draft_page = client.get(at(draft)).content.decode()
    assert "in the way of submitting" in draft_page
    assert at(draft, "labels/#rule-form") in draft_page


def test_signed_points_and_more_signals_than_an_entry_has(client):
    draft = labelled(None)
    signed_in(client, "engineer")
    rows = {"saves": "0", "point-0-points": "+5", "point-0-count": "lines", "point-0-at_most": "2"}
    for number in range(12):
        rows |= {
            f"task-{number}-task": "code",
            f"task-{number}-count": "lines",
            f"task-{number}-at_least": f"{number + 1}",
        }

    answer = client.post(at(draft, "labels/"), rows)

    assert answer.status_code == 302, errors_of(answer)
    assert [len(entry["any"]) for entry in kept(draft)["tasks"]] == [10, 2]
    assert kept(draft)["complexity"] == [{"points": 5, "count": "lines", "at_most": 2}]


def test_nobody_saves_over_what_another_saved_unseen(client):
    draft = labelled()
    signed_in(client, "engineer")
    other = draft.content | {"heuristics": {"tasks": LABELS["tasks"][:1]}}
    proposals.save(proposal_id=draft.pk, saves=0, by="other@example.com", at=timezone.now(), content=other)

    late = client.post(at(draft, "labels/"), ROWS)
    again = client.post(at(draft, "labels/"), ROWS | {"saves": late.context["saves"]})

    assert late.status_code == 409
    assert "is not saved" in late.content.decode()
    assert 'value="chat"' in late.content.decode()
    assert again.status_code == 302
    assert kept(draft) == LABELS


def test_a_settled_draft_takes_no_labels(client):
    draft = labelled()
    signed_in(client, "engineer")
    proposals.withdraw(proposal_id=draft.pk, by="lead@example.com", at=timezone.now())

    answer = client.post(at(draft, "labels/"), ROWS | {"task-0-task": "other"})

    assert answer.status_code == 409
    assert kept(draft) == LABELS


def test_who_sees_the_draft_sees_its_labels_and_only_who_edits_rules_edits_them(client):
    draft = labelled()

    assert client.get(at(draft, "labels/")).status_code == 302
    for role in ROLES:
        signed_in(client, role)
        allowed = role in ("engineer", "platform", "admin")
        seen, answer = client.get(at(draft, "labels/")), client.post(at(draft, "labels/"), ROWS)
        assert (seen.status_code, answer.status_code != 403) == (200, allowed), role
        page = seen.content.decode()
        assert ("Save the labels" in page) == allowed, role
        assert "stack trace" in page, role
    signed_in(client)
    assert client.get(at(draft, "labels/")).status_code == 403


def test_the_drafts_page_says_its_labels_and_leads_to_them(client):
    some, none = labelled(), labelled(None)
    signed_in(client, "engineer")

    shown, empty = (client.get(at(draft)).content.decode() for draft in (some, none))
    signed_in(client, "viewer")
    looked_at = client.get(at(some)).content.decode()

    assert "at least 1 code fence line, or any of the words bug, stack trace" in shown
    assert "+30 points for at least 2000 characters" in shown
    assert at(some, "labels/") in shown
    assert "Add labels" in empty
    assert at(some, "labels/") not in looked_at


def test_words_that_are_markup_stay_text(client):
    draft = labelled({"tasks": [{"task": HOSTILE[:60], "any": [BUGS | {"words": [HOSTILE[:60]]}]}]})
    signed_in(client, "engineer")

    for path in (at(draft), at(draft, "labels/")):
        page = client.get(path).content.decode()
        assert HOSTILE[:60] not in page
        assert "&lt;script&gt;" in page


@pytest.mark.soak
def test_nothing_that_can_be_sent_breaks_the_page(client):
    draft = labelled()
    signed_in(client, "engineer")
    chance = random.Random(5)
    soup = [
        "",
        "0",
        "-1",
        "9" * 400,
        "\x00",
        "\u0085",
        HOSTILE,
        "a, b",
        ",,",
        "\n",
        "1.5",
        "keywords",
        "lines",
        "x" * 300,
    ]
    names = [f"{kind}-{n}-{name}" for kind, head in (("task", "task"), ("point", "points")) for n in (0, 1, 999)
             for name in (head, "count", "at_least", "at_most", "words")]  # fmt: skip
    steps = ["task-0", "task", "point-1", "point", "task-", "-", "task-99999999999", "x" * 50]

    for _ in rounds(15, 500):
        sent = {name: chance.choice(soup) for name in chance.sample(names, chance.randint(1, len(names)))}
        sent |= {"saves": chance.choice(["0", "1", "-1", "x"])}
        if chance.random() < 0.4:
            sent[chance.choice(["add", "drop", "up"])] = chance.choice(steps)
        assert client.post(at(draft, "labels/"), sent).status_code in (200, 302, 409, 422), sent


def test_labels_ask_the_same_few_questions_however_many_there_are(client, django_assert_max_num_queries):
    many = {"tasks": [{"task": f"t{n}", "any": [FENCE] * 1 + [BUGS]} for n in range(20)]}
    draft = labelled(many)
    signed_in(client, "engineer")

    with django_assert_max_num_queries(26):
        client.get(at(draft, "labels/"))
