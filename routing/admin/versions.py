"""Versions: what each holds in words, what it changed, how it compares with any other, and the way back to it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.urls.resolvers import URLPattern
from django.utils import timezone

from core.access import label, may
from core.administration import Served
from routing.admin import words
from routing.admin.steps import REFUSED, Step, status_of, why_refused
from routing.models import Version
from routing.rules import texts
from routing.selectors import versions as selector
from routing.services import versions

ROLL_BACK = Step(
    verb="roll-back",
    action="rules.publish",
    button="Roll back",
    says="The content of this version is published again as a new version and is in force at once, without another "
    "approval. Gateways have it with their next poll.",
    asks="Why",
    must_say=True,
)


@admin.register(Version)
class VersionAdmin(Served):
    sees = "rules.read"
    heavy = ("canonical", "sha256")
    list_display = ("number", "environment", "in_force", "title", "published_at", "published_by", "approved_by", "base")
    list_filter = ("environment",)
    list_select_related = ("environment",)
    search_fields = ("title", "published_by", "approved_by")

    @admin.display(description="in force", boolean=True)
    def in_force(self, version: Version) -> bool:
        return version.environment.live_version == version.number

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.roll_back_view)
        return [path("<int:pk>/roll-back/", view, name="routing_version_roll_back"), *super().get_urls()]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD", "OPTIONS") or object_id is None:
            raise PermissionDenied
        self.must(request, self.sees)
        found = self._found(object_id)
        if found is None:
            return self.gone(request, object_id)
        detail = selector.one(environment=found.environment.name, number=found.number)
        if detail is None:  # they are never deleted
            raise PermissionDenied
        others = (
            Version.objects.filter(environment=found.environment_id)
            .exclude(pk=found.pk)
            .order_by("-number")
            .values_list("number", flat=True)[:200]
        )
        compared, differs = self._compared(request, detail)
        return self.page(
            request,
            "admin/routing/version/change_form.html",
            f"Version {found.number} of {found.environment.name}",
            object=found,
            row=detail.row,
            changes=detail.changes,
            rules=words.rules(detail.content),
            text=texts.written(detail.content),
            others=list(others),
            compared=compared,
            differs=differs,
            may_roll_back=not detail.row.live and may(request.user, ROLL_BACK.action),
        )

    def _found(self, object_id: str) -> Version | None:
        try:
            number = int(unquote(object_id))
        except ValueError:
            return None
        return Version.objects.select_related("environment").defer("canonical").filter(pk=number).first()

    def _compared(self, request: HttpRequest, detail: selector.VersionDetail) -> tuple[str, tuple[str, ...] | None]:
        """Return with which version one compares, and what differs; None where there is no such version."""
        given = request.GET.get("with", "")
        if not given:
            return "", ()
        if not (given.isascii() and given.isdigit() and len(given) < 10):
            return given, None
        row = detail.row
        return given, selector.compared(environment=row.environment, before=int(given), after=row.number)

    def roll_back_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what going back would change against what is in force; go back on POST."""
        self.must(request, ROLL_BACK.action)
        found = self._found(str(pk))
        if found is None:
            return self.gone(request, str(pk))
        if request.method != "POST":
            return self._roll_back_page(request, found)
        said, seen = request.POST.get("said", ""), request.POST.get("seen", "")
        try:
            version = versions.roll_back(
                environment=found.environment.name,
                to=found.number,
                seen=int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else 0,
                reason=said,
                by=label(request.user),
                at=timezone.now(),
            )
        except REFUSED as error:
            found.environment.refresh_from_db()
            return self._roll_back_page(
                request, found, status=status_of(error), said=said, refused=why_refused(error)
            )  # fmt: skip
        messages.success(request, f"Version {version.number} is in force, with the content of version {found.number}.")
        return redirect("admin:routing_version_change", version.pk)

    def _roll_back_page(
        self,
        request: HttpRequest,
        found: Version,
        *,
        status: int = 200,
        said: str = "",
        refused: list[str] | None = None,
    ) -> HttpResponse:
        live = found.environment.live_version or 0
        differs = selector.compared(environment=found.environment.name, before=live, after=found.number)
        return self.page(
            request,
            "admin/routing/step.html",
            f"Roll back to version {found.number} of {found.environment.name}",
            status=status,
            step=ROLL_BACK,
            possible=live != found.number,
            hidden={"seen": live},
            changes=differs or (),
            against=f"version {live}, which is in force",
            said=said,
            refused=refused or [],
            warnings=(),
            problems=[],
            back=reverse("admin:routing_version_change", args=[found.pk]),
            back_title=f"Version {found.number}",
        )
