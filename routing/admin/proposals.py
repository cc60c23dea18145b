"""A proposal from its start to its publication, by the same services as in the console and over the API.

Nothing that somebody typed is lost: whatever is refused comes back as it was typed, with every reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from core.errors import Conflict, Invalid, NotFound
from routing.admin.steps import REFUSED, Step, status_of, why_refused
from routing.models import Proposal, Version
from routing.rules import document, texts
from routing.rules.differences import differences
from routing.rules.texts import Wrong, plain
from routing.selectors import environments, fleet, versions
from routing.selectors import proposals as selector
from routing.selectors.proposals import ProposalDetail
from routing.services import proposals
from routing.services import versions as publishing

STEPS = (
    Step(
        verb="approve",
        action="rules.approve",
        states=frozenset({"in_review"}),
        button="Approve",
        says="You say yes to exactly this content. Whoever may publish can then put it in force.",
        asks="Comment",
    ),
    Step(
        verb="reject",
        action="rules.approve",
        states=frozenset({"in_review", "approved"}),
        button="Reject",
        says="This proposal is turned down for good. It stays to be read.",
        asks="Why",
        must_say=True,
        grave=True,
    ),
    Step(
        verb="publish",
        action="rules.publish",
        states=frozenset({"approved"}),
        button="Publish",
        says="These rules become the version in force, and gateways have them with their next poll.",
    ),
    Step(
        verb="withdraw",
        action="rules.edit",
        states=frozenset({"draft", "in_review", "approved"}),
        button="Withdraw",
        says="This proposal is taken back for good. It stays to be read.",
        asks="Why",
        grave=True,
    ),
)
_BY_VERB = {step.verb: step for step in STEPS}


@admin.register(Proposal)
class ProposalAdmin(Served):
    adds = "rules.edit"
    heavy = ("content",)
    list_display = ("id", "title", "environment", "state", "made_from", "created_by", "created_at", "version")
    list_display_links = ("id", "title")
    list_filter = ("state", "environment")
    list_select_related = ("environment",)
    search_fields = ("title", "created_by")

    @admin.display(description="made from")
    def made_from(self, proposal: Proposal) -> str:
        base = "nothing" if proposal.base_version is None else f"version {proposal.base_version}"
        live = proposal.environment.live_version
        stale = proposal.state in selector.OPEN and live != proposal.base_version
        return f"{base}; version {live} is in force now" if stale else base

    def get_urls(self) -> list[URLPattern]:
        steps = [
            path(
                f"<int:pk>/{step.verb}/",
                self.admin_site.admin_view(self.step_view),
                {"verb": step.verb},
                name=f"routing_proposal_{step.verb}",
            )
            for step in STEPS
        ]
        return [*steps, *super().get_urls()]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if object_id is None:
            self.must(request, self.adds)
            return self._start(request) if request.method == "POST" else self._start_page(request)
        found = self.get_object(request, unquote(object_id))
        if found is None:
            return self.gone(request, object_id)
        if request.method == "POST":
            self.must(request, "rules.edit")
            return self._save(request, found.pk)
        self.must(request, self.sees)
        return self._page(request, found.pk)

    # --- Starting

    def _start_page(
        self,
        request: HttpRequest,
        *,
        status: int = 200,
        title: str = "",
        text: str | None = None,
        wrong: list[Wrong] | None = None,
        note: str = "",
        meanwhile: tuple[str, ...] = (),
    ) -> HttpResponse:
        given = request.POST if request.method == "POST" else request.GET
        name = given.get("environment", "").strip() or environments.USUAL
        live = versions.live(environment=name) if "\x00" not in name else None
        if text is None:
            text = texts.SKELETON if live is None else texts.written(live.content)
        return self.page(
            request,
            "admin/routing/proposal/add_form.html",
            "Start a draft",
            status=status,
            environment=name,
            environments=[row.name for row in environments.listed()],
            live=live.row if live else None,
            draft_title=title,
            text=text,
            wrong=wrong or [],
            note=note,
            meanwhile=meanwhile,
        )

    def _start(self, request: HttpRequest) -> HttpResponse:
        name, title, text = (request.POST.get(field, "") for field in ("environment", "title", "content"))
        content, wrong = texts.read(text)
        if content is None:
            return self._start_page(request, status=422, title=title, text=text, wrong=_with_title(wrong, title))
        live = versions.live(environment=name.strip()) if "\x00" not in name else None
        base = str(live.row.number) if live else ""
        if request.POST.get("base", "") != base:
            # What was typed was made from another version: started from this one it would undo it unseen.
            return self._start_page(
                request,
                status=409,
                title=title,
                text=text,
                note=f"Another version went live in {name} since you opened this page. Look at what differs from it "
                "below; start the draft again if that is what you want.",
                meanwhile=_lines(live.content if live else versions.NOTHING, content),
            )
        # Whoever starts from what is there without a change has had no hand in it.
        given = None if live is not None and _same(content, live.content) else content
        try:
            draft = proposals.start(
                environment=name, title=title, by=label(request.user), at=timezone.now(), content=given
            )
        except Invalid as error:
            return self._start_page(request, status=422, title=title, text=text, wrong=_wrongs(error, text))
        messages.success(request, f"The draft {draft.title} was started.")
        return redirect("admin:routing_proposal_change", draft.pk)

    # --- Looking and editing

    def _page(
        self,
        request: HttpRequest,
        pk: int,
        *,
        status: int = 200,
        title: str | None = None,
        text: str | None = None,
        wrong: list[Wrong] | None = None,
        refused: list[str] | None = None,
        would_change: tuple[str, ...] = (),
    ) -> HttpResponse:
        """Show a proposal; `text` is what somebody typed that was not saved."""
        detail = _detail(pk)
        row = detail.row
        kept = texts.written(detail.content)
        problems = texts.placed([(one.pointer, one.text) for one in detail.problems], kept)
        numbers = [number for number in (row.base_version, row.version, row.live_version) if number is not None]
        found = Version.objects.filter(environment__name=row.environment, number__in=numbers)
        return self.page(
            request,
            "admin/routing/proposal/change_form.html",
            row.title,
            status=status,
            detail=detail,
            row=row,
            state=Proposal(state=row.state).get_state_display(),
            version_ids=dict(found.values_list("number", "pk")),
            editable=row.open and may(request.user, "rules.edit"),
            steps=[one for one in STEPS if row.state in one.states and may(request.user, one.action)],
            own_work=row.state == "in_review" and not detail.may_approve(label(request.user)),
            problems=problems,
            draft_title=row.title if title is None else title,
            text=kept if text is None else text,
            kept=kept if text is not None else "",
            wrong=wrong or [],
            refused=refused or [],
            would_change=would_change,
        )

    def _save(self, request: HttpRequest, pk: int) -> HttpResponse:
        title, text, saves = (request.POST.get(field, "") for field in ("title", "content", "saves"))
        content, wrong = texts.read(text)
        if content is None:
            return self._page(request, pk, status=422, title=title, text=text, wrong=_with_title(wrong, title))
        by, at = label(request.user), timezone.now()
        try:
            count = int(saves) if saves.isascii() and saves.isdigit() and len(saves) < 10 else -1
            proposals.save(proposal_id=pk, saves=count, by=by, at=at, content=content, title=title)
        except Invalid as error:
            return self._page(request, pk, status=422, title=title, text=text, wrong=_wrongs(error, text))
        except (Conflict, NotFound) as error:
            # The page has what is there now, and its count: whoever saves again has seen what she replaces.
            return self._page(
                request,
                pk,
                status=status_of(error),
                title=title,
                text=text,
                refused=why_refused(error),
                would_change=_lines(_detail(pk).content, content),
            )
        if "_submit" in request.POST:
            return self._submit(request, pk)
        messages.success(request, "Saved.")
        return redirect("admin:routing_proposal_change", pk)

    def _submit(self, request: HttpRequest, pk: int) -> HttpResponse:
        try:
            proposals.submit(proposal_id=pk, by=label(request.user), at=timezone.now())
        except Invalid:
            messages.error(
                request, "Saved, but not submitted: these rules cannot work as they are. Every reason is below."
            )
        except (Conflict, NotFound) as error:
            messages.error(request, str(error))
        else:
            messages.success(request, "Submitted: it waits for the yes of somebody who did not write it.")
        return redirect("admin:routing_proposal_change", pk)

    # --- Steps

    def step_view(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        """Show a step and what it would do; take it on POST. A refusal comes back with what was typed."""
        step = _BY_VERB[verb]
        self.must(request, step.action)
        if not Proposal.objects.filter(pk=pk).exists():
            return self.gone(request, str(pk))
        if request.method != "POST":
            return self._step_page(request, step, pk)
        said = request.POST.get("said", "")
        try:
            told = _take(step, pk, sha256=request.POST.get("sha256", ""), said=said, by=label(request.user))
        except REFUSED as error:
            return self._step_page(
                request, step, pk, status=status_of(error), said=said, refused=why_refused(error)
            )  # fmt: skip
        messages.success(request, told)
        return redirect("admin:routing_proposal_change", pk)

    def _step_page(
        self,
        request: HttpRequest,
        step: Step,
        pk: int,
        *,
        status: int = 200,
        said: str = "",
        refused: list[str] | None = None,
    ) -> HttpResponse:
        detail = _detail(pk)
        possible = detail.row.state in step.states
        if step.verb == "approve":
            possible = detail.may_approve(label(request.user))
        return self.page(
            request,
            "admin/routing/step.html",
            f"{step.button} {detail.row.title}",
            status=status,
            step=step,
            possible=possible,
            hidden={"sha256": detail.row.sha256} if step.verb == "approve" else {},
            changes=detail.changes,
            against="the version that it was made from",
            said=said,
            refused=refused or [],
            warnings=detail.meanwhile,
            unread=_unread(step, detail),
            problems=[plain(str(one)) for one in detail.problems],
            back=reverse("admin:routing_proposal_change", args=[pk]),
            back_title=detail.row.title,
        )


def _take(step: Step, pk: int, *, sha256: str, said: str, by: str) -> str:
    at = timezone.now()
    if step.verb == "approve":
        proposals.approve(proposal_id=pk, sha256=sha256, by=by, at=at, comment=said)
        return "Approved. It can be published now."
    if step.verb == "reject":
        proposals.reject(proposal_id=pk, by=by, at=at, why=said)
        return "Rejected."
    if step.verb == "withdraw":
        proposals.withdraw(proposal_id=pk, by=by, at=at, why=said)
        return "Withdrawn."
    version = publishing.publish(proposal_id=pk, by=by, at=at)
    return f"Published: version {version.number} is in force."


def _unread(step: Step, detail: ProposalDetail) -> tuple[str, ...]:
    if step.verb != "publish":
        return ()
    return fleet.warnings(environment=detail.row.environment, content=detail.content, at=timezone.now())


def _detail(pk: int) -> ProposalDetail:
    detail = selector.one(proposal_id=pk, at=timezone.now())
    if detail is None:  # they are never deleted
        raise PermissionDenied
    return detail


def _with_title(wrong: list[Wrong], title: str) -> list[Wrong]:
    if title.strip():
        return wrong
    return [Wrong(line=0, place="title", text="Say in a line what the change is for."), *wrong]


def _wrongs(error: Invalid, text: str) -> list[Wrong]:
    found = texts.placed(error.problems, text)
    return found or [Wrong(line=0, place="", text=plain(str(error)))]


def _lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what differs, where what was typed has the shape of rules."""
    if document.schema_problems("content", {**after, "offerings": after.get("offerings") or {}}):
        return ()
    return tuple(differences(before, {**after, "offerings": after.get("offerings") or before["offerings"]}))


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    try:
        return document.dumps(one) == document.dumps(other)
    except document.NotADocument:
        return False
