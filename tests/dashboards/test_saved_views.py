"""Saved views: kept, shared, changed and opened by whom they are for, whatever comes at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from core.errors import Conflict, Invalid
from core.models import AuditEntry, User
from dashboards.models import SavedView
from dashboards.selectors import saved_views as selector
from dashboards.services import saved_views as service
from tests.dashboards.seeing import HOSTILE, signed_in
from tests.factories import NOON, make_user


def save(owner: User, **given: object) -> SavedView:
    usual = {"page": "spend", "name": "Ours", "query": "range=this-month&by=model", "shared": False, "at": NOON}
    return service.save(owner=owner, **(usual | given))


@pytest.mark.django_db(transaction=True)
def test_a_view_is_kept_once_by_its_name_and_who_did_what_stays_in_the_trail():
    owner = make_user("viewer")
    view = save(owner, name="  The  month ")

    service.change(view_id=view.pk, by=owner, at=NOON, shared=True)
    service.change(view_id=view.pk, by=owner, at=NOON, name="THE MONTH")  # its own name is free
    with pytest.raises(service.NameTaken):
        save(owner, name="the month")
    save(owner, name="Another")
    with pytest.raises(service.NameTaken):
        service.change(view_id=view.pk, by=owner, at=NOON, name="another")
    assert service.delete(view_id=view.pk, by=owner) == "THE MONTH"

    assert list(SavedView.objects.values_list("name", flat=True)) == ["Another"]
    trail = AuditEntry.objects.filter(table="dashboards_savedview").order_by("id").values_list("actor", "reason")
    assert [(actor, reason) for actor, reason in trail][:2] == [
        (str(owner), "saved a view"), (str(owner), "changed a saved view")
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_names_that_are_one_in_lower_case_alone_are_told_apart_by_no_error():
    owner = make_user("viewer")
    save(owner, name="istanbul")

    with pytest.raises(service.NameTaken):
        save(owner, name="\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}stanbul")


@pytest.mark.django_db(transaction=True)
def test_a_name_saved_twice_at_once_is_kept_once_and_the_other_is_told():
    owner = make_user("viewer")

    def once(_: int) -> str:
        try:
            return str(save(owner, name="Race"))
        except Conflict as error:
            return type(error).__name__
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        found = sorted(pool.map(once, range(4)))

    assert found == ["NameTaken", "NameTaken", "NameTaken", "Race"]
    assert SavedView.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_kept_is_refused_in_words():
    owner = make_user("viewer")
    SavedView.objects.bulk_create(
        SavedView(page="spend", name=f"view {n}", query="", owner=owner, changed_at=NOON) for n in range(199)
    )

    for given in ({"name": " "}, {"name": "x" * 81}, {"query": "x" * 2001}, {"name": "a\0b"}):
        with pytest.raises(Invalid):
            save(owner, **given)
    save(owner)
    with pytest.raises(service.TooMany, match="200 saved views"):
        save(owner, name="one more")

    assert SavedView.objects.filter(owner=owner).count() == service.MOST


@pytest.mark.django_db(transaction=True)
def test_others_see_what_is_shared_and_only_its_owner_and_an_admin_change_it(client):
    owner, admin = make_user("finance"), make_user("admin")
    own, shared = save(owner, name="Mine"), save(owner, name="All of us", shared=True)
    stranger = signed_in(client, "engineer")

    opened = client.get(f"/spend/views/{shared.pk}/")
    menu = client.get("/spend/").content.decode()

    assert (opened.status_code, opened["Location"]) == (302, "/spend/?range=this-month&by=model")
    assert client.get(f"/spend/views/{own.pk}/").status_code == 404
    assert client.get("/spend/views/999999/").status_code == 404
    assert "All of us" in menu
    assert "Mine" not in menu
    for pk in (own.pk, shared.pk):
        for what in ("rename", "share", "unshare", "replace", "delete"):
            assert client.post(f"/spend/views/{pk}/change/", {"what": what, "name": "x"}).status_code == 404
    for person, view, changeable in ((stranger, shared, False), (admin, shared, True), (owner, own, True)):
        assert selector.one(view_id=view.pk, person=person).changeable is changeable
    with pytest.raises(service.NotYours):
        service.change(view_id=own.pk, by=admin, at=NOON, name="seen by nobody else")
    client.force_login(admin)
    client.post(f"/spend/views/{shared.pk}/change/", {"what": "unshare"})
    assert list(SavedView.objects.values_list("name", "shared").order_by("name")) == [
        ("All of us", False), ("Mine", False)
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_a_view_is_saved_from_the_page_as_the_page_writes_its_address_and_changed_on_its_own(client):
    person = signed_in(client, "viewer")
    query = "range=last-month&from=&measure=tokens&chart=bars&use_case=&then=model"

    saved = client.post("/spend/views/", {"name": HOSTILE, "query": query, "shared": "on"})

    view = SavedView.objects.get()
    assert (view.query, view.shared, view.owner) == ("range=last-month&then=model&measure=tokens", True, person)
    assert (saved.status_code, saved["Location"]) == (302, f"/spend/?{view.query}")
    listed = client.get("/spend/views/").content.decode()
    assert HOSTILE not in listed
    assert f'aria-current="true" title="Shared with everybody">{HOSTILE.replace("<", "&lt;").replace(">", "&gt;")}' in (
        client.get(saved["Location"]).content.decode()
    )
    for sent, changed in (
        ({"what": "rename", "name": "Tokens"}, ("Tokens", view.query, True)),
        ({"what": "rename", "name": ""}, ("Tokens", view.query, True)),
        ({"what": "unshare"}, ("Tokens", view.query, False)),
        ({"what": "replace", "query": "by=team"}, ("Tokens", "by=team", False)),
    ):
        assert client.post(f"/spend/views/{view.pk}/change/", sent).status_code == 302
        view.refresh_from_db()
        assert (view.name, view.query, view.shared) == changed
    assert client.post(f"/spend/views/{view.pk}/change/", {"what": "explode"}).status_code == 404
    assert client.post("/spend/views/", {"name": "x", "query": "by=colour"}).status_code == 404
    client.post(f"/spend/views/{view.pk}/change/", {"what": "delete"})
    assert not SavedView.objects.exists()


@pytest.mark.django_db
def test_nobody_who_may_not_see_spend_saves_or_opens_a_view(client):
    for path in ("/spend/views/", "/spend/views/1/"):
        assert client.get(path)["Location"] == f"/accounts/login/?next={path}"
    assert client.post("/spend/views/1/change/").status_code == 302
    signed_in(client)

    assert client.get("/spend/views/").status_code == 403
    assert client.post("/spend/views/", {"name": "x"}).status_code == 403
    assert client.post("/spend/views/1/change/", {"what": "delete"}).status_code == 403


@pytest.mark.django_db
def test_the_menu_of_views_takes_one_query_however_many_there_are(django_assert_num_queries):
    person, other = make_user("viewer"), make_user("viewer", email="other@example.com")
    SavedView.objects.bulk_create(
        SavedView(page="spend", name=f"view {n}", query="", owner=owner, shared=True, changed_at=NOON)
        for n in range(10)
        for owner in (person, other)
    )

    with django_assert_num_queries(1):
        rows = selector.offered(page="spend", person=person)

    assert [row.own for row in rows] == [True] * 10 + [False] * 10
