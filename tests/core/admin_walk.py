"""A walk over all pages of an admin that would write, with what a table held before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.apps import apps
from django.contrib.admin import AdminSite, ModelAdmin
from django.db import connection, models
from django.test import Client

from core.administration import PastService, Served, Shown
from core.models import AuditEntry, User

# Every view that looks somebody up may note that she was here.
NOTED = {"core_user", "django_session", "core_auditentry"}


@dataclass(frozen=True)
class Finding:
    model: str
    what: str

    def __str__(self) -> str:
        return f"{self.model}: {self.what}"


@contextmanager
def prepared() -> Iterator[None]:
    """Have `snapshot` planned once: to plan a question to a hundred tables takes longer than to answer it.

    `xmin` is the transaction that wrote a row: a write that leaves a row as it was shows as well.
    """
    tables = sorted({model._meta.db_table for model in apps.get_models()})
    row = "xmin::text || ctid::text || t::text"
    parts = [f"SELECT '{one}', count(*), md5(string_agg({row}, ',' ORDER BY {row})) FROM \"{one}\" t" for one in tables]
    with connection.cursor() as cursor:
        cursor.execute(f"PREPARE snapshot AS {' UNION ALL '.join(parts)}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE snapshot")


def snapshot() -> dict[str, tuple[int, str]]:
    """Return the number of rows of every table that a model has, and a digest of them, straight from PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("EXECUTE snapshot")
        return {table: (count, digest) for table, count, digest in cursor.fetchall()}


def crafted(model: type[models.Model], row: models.Model | None) -> dict[str, str]:
    """Return a form that names every column, with values that a plain form would take."""
    given: dict[str, str] = {}
    for field in model._meta.concrete_fields:
        if field.primary_key and not isinstance(field, models.OneToOneField):
            continue
        value = getattr(row, field.attname) if row is not None else None
        if isinstance(field, models.DateTimeField):
            given |= {f"{field.name}_0": "2026-06-15", f"{field.name}_1": "12:00:00", field.name: "2026-06-15 12:00"}
        elif isinstance(field, models.BooleanField):
            given[field.name] = "on"
        elif isinstance(field, models.ForeignKey) and value is None:
            other = None if field.null else field.related_model._default_manager.order_by("pk").first()
            given[field.name] = str(other.pk) if other is not None else ""
        elif isinstance(field, models.ForeignKey | models.IntegerField):
            given[field.name] = str(value if value is not None else 1)
        elif isinstance(field, models.JSONField):
            given[field.name] = "{}"
        elif field.choices:
            given[field.name] = str(field.choices[0][0])
        elif isinstance(field, models.CharField | models.TextField):
            word = "changed" if row is not None else "added"
            given[field.name] = word if "@" not in str(value) else f"{word}@example.com"
        elif not isinstance(field, models.BinaryField):
            given[field.name] = "1"
    return given


def writes_of(site: AdminSite, client: Client, actor: User) -> Iterator[Finding]:
    """Post to every page that could write, as somebody who may do everything, and tell what got past the services."""
    client.raise_request_exception = False
    with prepared():
        yield from _writes_of(site, client, actor)


def _writes_of(site: AdminSite, client: Client, actor: User) -> Iterator[Finding]:
    after = snapshot()
    for model, pages in list(site._registry.items()):
        name = model._meta.label
        yield from (Finding(name, what) for what in _declared(pages, model))
        row = model._default_manager.order_by("-pk").first()
        place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        forms = [("add", f"{place}add/", crafted(model, None))]
        if row is not None:
            form = crafted(model, row)
            chosen = {"action": "delete_selected", "_selected_action": str(row.pk), "post": "yes"}
            list_form = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": str(row.pk), "_save": "Save"}
            forms += [
                ("change", f"{place}{row.pk}/change/", form),
                ("save as new", f"{place}{row.pk}/change/", {**form, "_saveasnew": "1"}),
                ("delete_selected", place, chosen),
                ("list_editable", place, {**list_form, **{f"form-0-{key}": value for key, value in form.items()}}),
            ]
            forms += [
                (f"action {action}", place, {**chosen, "action": action})
                for action in (getattr(one, "__name__", one) for one in pages.actions or ())
            ]
            forms.append(("delete", f"{place}{row.pk}/delete/", {"post": "yes"}))
            if model is User:
                # Django's own pages for users have this one; here the address leads to nothing.
                forms.append(
                    (
                        "password",
                        f"{place}{row.pk}/password/",
                        {"password1": "a good one 1", "password2": "a good one 1"},
                    )
                )
        for what, address, form in forms:
            answer = client.post(address, form)
            before, after = after, snapshot()
            changed = sorted(table for table, rows in after.items() if rows != before[table] and table not in NOTED)
            if answer.status_code >= 500:
                yield Finding(name, f"{what} breaks")
            elif changed and not isinstance(pages, Served):
                yield Finding(name, f"{what} wrote {', '.join(changed)}")
            elif changed and (by := _past_services(before, actor)):
                yield Finding(name, f"{what} wrote {', '.join(changed)} past the services: {by}")
            elif what != "password" and not isinstance(pages, Served) and answer.status_code not in (403, 404):
                yield Finding(name, f"{what} is not refused but answered with {answer.status_code}")


def _past_services(before: dict[str, tuple[int, str]], actor: User) -> list[str]:
    """Return the changes that the trail has since without the name of who made them: no service, no name."""
    entries = list(AuditEntry.objects.order_by("id"))[before["core_auditentry"][0] :]
    nameless = [str(entry) for entry in entries if entry.actor != actor.email]
    return nameless or ([] if entries else ["nothing in the audit trail"])


def _declared(pages: ModelAdmin, model: type[models.Model]) -> Iterator[str]:
    """Hold a class to what it promises: every way by which Django's own views write with the ORM is shut."""
    if not isinstance(pages, Shown):
        yield "is neither Shown nor Served"
        return
    if pages.list_editable or pages.inlines or pages.actions:
        yield "edits in lists, in lines or by actions"
    ways = {
        "save_form": (None, None, True),
        "save_model": (None, model(), None, True),
        "save_related": (None, None, [], True),
        "save_formset": (None, None, None, True),
        "delete_model": (None, model()),
        "delete_queryset": (None, model._default_manager.none()),
    }
    for way, arguments in ways.items():
        try:
            getattr(pages, way)(*arguments)
        except PastService:
            continue
        except Exception as error:  # it went on as Django does, and fell over what it was given
            yield f"{way} writes with the ORM ({type(error).__name__})"
        else:
            yield f"{way} writes with the ORM"
    if type(pages).changeform_view is ModelAdmin.changeform_view:
        yield "has the form of Django"
