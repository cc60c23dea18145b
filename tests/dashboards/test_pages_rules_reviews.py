"""The page of reviews, and the setting of duties: who may, what is shown, what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from core.models import Organisation
from routing.models import Proposal
from routing.services import proposals, versions
from tests.dashboards.making_rules import PRODUCTION, ROLES, at, draft_of, furnish, version_of
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.routing.making import LEAD, make_content, make_rule

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
REVIEWS = f"{PRODUCTION}reviews/"
EDITORS = {"engineer", "platform", "admin"}


@pytest.fixture(autouse=True)
def _house() -> None:
    furnish()


def put_in_force(**days: int) -> None:
    """Put rules in force whose reviews are so many days away."""
    today = timezone.localdate()
    version_of(
        make_content(
            *(
                make_rule(name, use_cases=[name], review_by=(today + left * DAY).isoformat(), rationale=HOSTILE)
                for name, left in days.items()
            )
        )
    )


# --- Reviews


def test_reviews_stand_in_groups_with_owner_and_rationale(client):
    put_in_force(later=40, over=-3, soon=14)
    signed_in(client, "viewer")

    page = client.get(REVIEWS).content.decode()

    places = [
        page.index(text) for text in (">Overdue<", "over</strong>", "within 14 days<", "soon</strong>", ">Later<")
    ]
    assert places == sorted(places)
    assert "review overdue by 3 days" in page
    assert "review due in 14 days" in page
    assert HOSTILE not in page
    assert "checkbox" not in page[page.index("<main") : page.index("</main>")]


def test_the_page_of_the_rules_leads_to_what_is_due(client):
    put_in_force(over=-3)
    signed_in(client, "viewer")

    assert f'href="{REVIEWS}"' in client.get(PRODUCTION).content.decode()


def test_without_rules_the_page_says_what_to_do_next(client):
    signed_in(client, "viewer")
    nothing = client.get(REVIEWS).content.decode()
    version_of({"rules": [], "default": make_content()["default"]})
    only_a_default = client.get(REVIEWS).content.decode()

    assert "Nothing is in force here yet" in nothing
    assert "No rules to review" in only_a_default
    assert client.get("/rules/nowhere/reviews/").status_code == 404


@pytest.mark.parametrize("role", ROLES)
def test_who_may_edit_confirms_and_nobody_else(client, role):
    put_in_force(over=-3, other=5)
    person = signed_in(client, role)
    day = timezone.localdate() + 90 * DAY
    sent = {"confirm": ["over"], "review_by": day.isoformat(), "reason": "as good as ever"}

    answer = client.post(REVIEWS, sent)

    if role not in EDITORS:
        assert answer.status_code == 403
        assert not Proposal.objects.filter(state="draft").exists()
        return
    draft = Proposal.objects.get(state="draft")
    assert answer["Location"] == at(draft)
    assert (draft.created_by, draft.title) == (person.email, "Still right, over: as good as ever")
    assert [rule["review_by"] == day.isoformat() for rule in draft.content["rules"]] == [True, False]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"confirm": []}, "Choose at least one rule."),
        ({"confirm": ["gone"]}, "There is no rule gone in force any more."),
        ({"review_by": ""}, "This is a day to come."),
        ({"review_by": "yesterday"}, "Enter a valid date."),
        ({"review_by": "2020-01-01"}, "This is a day to come."),
        ({"reason": ""}, "Say why it is still right"),
        ({"reason": "\x00"}, "Null characters are not allowed."),
    ],
)
def test_what_cannot_be_confirmed_is_said_and_the_ticks_stay(client, given, says):
    put_in_force(over=-3, other=5)
    signed_in(client, "engineer")
    sent = {"confirm": ["over"], "review_by": "2090-01-01", "reason": "as good as ever", **given}

    answer = client.post(REVIEWS, sent)

    page = answer.content.decode()
    assert answer.status_code == 422
    assert says in page
    assert (page.count(" checked") == 1) is (sent["confirm"] == ["over"])
    assert not Proposal.objects.filter(state="draft").exists()


def test_reviews_ask_the_same_few_questions_however_many_rules_there_are(client, django_assert_num_queries):
    signed_in(client, "engineer")

    for count in (1, 40):
        put_in_force(**{f"r{number}": number for number in range(count)})
        with django_assert_num_queries(7):
            client.get(REVIEWS)


# --- Duties


@pytest.mark.parametrize("role", ROLES)
def test_only_an_admin_turns_separation_off(client, role):
    signed_in(client, role)

    page = client.get("/duties/").content.decode()
    status = client.post("/duties/", {"separate": "off", "reason": "a team of one"}).status_code

    assert (("Turn it off</button>" in page), status) == ((True, 302) if role == "admin" else (False, 403))
    assert Organisation.objects.get().separation_of_duties is (role != "admin")


def test_when_it_was_turned_by_whom_and_why_is_shown(client):
    person = signed_in(client, "admin")
    client.post("/duties/", {"separate": "off", "reason": f"one of us left {HOSTILE}"})
    client.post("/duties/", {"separate": "on", "reason": "we are two again"})

    page = client.get("/duties/").content.decode()

    assert page.index("we are two again") < page.index("one of us left")
    assert f"Turned on by {person.email}" in page
    assert f"Turned off by {person.email}" in page
    assert HOSTILE not in page


@pytest.mark.parametrize(
    "sent", [{"separate": "off"}, {"separate": "off", "reason": " "}, {"reason": "r"}, {"separate": "x", "reason": "r"}]
)
def test_turning_needs_a_reason_and_a_side(client, sent):
    signed_in(client, "admin")

    assert client.post("/duties/", sent).status_code == 422
    assert Organisation.objects.get().separation_of_duties is True


def test_every_page_where_approval_matters_says_that_duties_are_not_separated(client):
    version_of()
    draft = draft_of()
    signed_in(client, "engineer")
    pages = [PRODUCTION, at(draft), f"{PRODUCTION}history/", f"{PRODUCTION}drafts/new/"]

    assert not any("Separation of duties is off" in client.get(page).content.decode() for page in pages)
    Organisation.objects.update(separation_of_duties=False)
    assert all("Separation of duties is off" in client.get(page).content.decode() for page in pages)


def test_an_approval_of_own_work_stays_marked_after_separation_is_on_again(client):
    Organisation.objects.update(separation_of_duties=False)
    draft = draft_of()
    now = timezone.now()
    submitted = proposals.submit(proposal_id=draft.pk, by=LEAD, at=now)
    proposals.approve(proposal_id=draft.pk, sha256=bytes(submitted.sha256 or b"").hex(), by=LEAD, at=now)
    signed_in(client, "viewer")
    approved = client.get(at(draft)).content.decode()
    versions.publish(proposal_id=draft.pk, by=LEAD, at=now)
    Organisation.objects.update(separation_of_duties=True)

    assert "own work" in approved
    assert "own work" in client.get(f"{PRODUCTION}history/").content.decode()
    assert "own work" in client.get(f"{PRODUCTION}versions/1/").content.decode()
    assert "who had a hand in it" in client.get(PRODUCTION).content.decode()
    version_of(make_content(make_rule(fallbacks=[])))
    assert "own work" not in client.get(f"{PRODUCTION}versions/2/").content.decode()
