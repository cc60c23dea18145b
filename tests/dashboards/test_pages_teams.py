"""The list of teams and the page of one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from alerts.models import Channel
from catalog.models import Team
from catalog.services import teams, use_cases
from tests.dashboards.seeing import HOSTILE, book, call, signed_in
from tests.factories import make_budget, make_team
from tests.usage import making

pytestmark = pytest.mark.django_db


def page(client, team: Team) -> str:
    return client.get(reverse("team", args=[team.pk])).content.decode()


def test_the_page_gathers_use_cases_spend_budgets_and_channels(client, django_assert_num_queries):
    making.make_priced_offering()
    care, sales = make_team("care"), make_team("sales")
    use_cases.create(
        name="support-routing", by="tests", at=timezone.now() - timedelta(days=9), team=care, owner="lena@example.com"
    )
    use_cases.create(name="idle", by="tests", at=timezone.now() - timedelta(days=9), team=care)
    book(call(usd=12), call(usd=3, use_case="theirs", team="care"))
    make_budget(scope={"team": ["care"]}, name="All of care", unit="usd")
    make_budget(scope={"use_case": ["support-routing"]}, name="Support alone", unit="usd")
    make_budget(scope={"team": ["sales"]}, name="Not theirs", unit="usd")
    for name, chosen in (("ours", [care.pk]), ("all", []), ("others", [sales.pk])):
        Channel.objects.create(name=name, kind="slack", teams=chosen, created_at=timezone.now())
    signed_in(client, "viewer")
    page(client, care)  # budgets are read once per process and change

    with django_assert_num_queries(21):
        content = page(client, care)

    assert "$15.00" in content
    assert all(name in content for name in ("support-routing", "idle", "theirs", "All of care", "Support alone"))
    assert content.count("another team answers for it") == 1
    assert "Not theirs" not in content
    assert content.index(">ours<") < content.index(">all<")
    assert ">others<" not in content


def test_the_list_tells_how_many_use_cases_a_team_answers_for(client):
    care = make_team("care")
    use_cases.create(name="support-routing", by="tests", at=timezone.now() - timedelta(days=9), team=care)
    making.make_priced_offering()
    book(call(usd=12), call(usd=1, team=HOSTILE))
    signed_in(client, "viewer")

    content = client.get("/teams/?sort=name").content.decode()

    assert f'href="/teams/{care.pk}/">care</a>' in content
    assert "$12.00" in content
    assert HOSTILE not in content
    assert "1 waits for an owner" in content
    assert "Nothing fits" in client.get("/teams/?q=nobody").content.decode()


def test_a_team_with_nothing_says_what_to_do_and_a_merged_one_where_to_look(client):
    signed_in(client, "viewer")
    quiet, into = make_team("quiet"), make_team("into")

    content = page(client, quiet)
    teams.merge(team=quiet, into=into, since_at=timezone.now(), by="tests", at=timezone.now())

    assert "Nothing was booked for it in 90 days" in content
    assert "It answers for no use case" in content
    assert "nobody would be told" in content
    assert f'Its name means <a href="/teams/{into.pk}/">into</a> now' in page(client, quiet)
    assert client.get(reverse("team-named"), {"name": "INTO"})["Location"] == f"/teams/{into.pk}/"
    assert client.get("/teams/999999/").status_code == 404
