"""REST for drafts: started, saved, submitted, approved, published."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from routing.api_parts import RulesEdit, VersionOutput, known_draft, version_row
from routing.models import ProposalState
from routing.rules.merging import MINE, THEIRS
from routing.selectors import fleet, proposals
from routing.selectors import rebasing as merges
from routing.services import proposals as drafting
from routing.services import rebasing
from routing.services import versions as publishing


class ProblemOutput(serializers.Serializer):
    pointer = serializers.CharField(help_text="JSON pointer into the content.")
    code = serializers.CharField(help_text="One of a closed list, see the specification.")
    text = serializers.CharField()


class ProposalOutput(serializers.Serializer):
    id = serializers.IntegerField()
    environment = serializers.CharField()
    title = serializers.CharField()
    state = serializers.ChoiceField(ProposalState.choices)
    base_version = serializers.IntegerField(allow_null=True, help_text="What it was started from.")
    live_version = serializers.IntegerField(allow_null=True, help_text="What is in force now.")
    stale = serializers.BooleanField(help_text="Another version went live since: publishing it would be refused.")
    saves = serializers.IntegerField(help_text="Counts saves; send it along when you save.")
    sha256 = serializers.CharField(help_text="Of the canonical bytes, from submission on; else empty.")
    created_at = InstantField()
    created_by = serializers.CharField()
    submitted_at = InstantField(allow_null=True)
    submitted_by = serializers.CharField()
    settled_at = InstantField(allow_null=True)
    settled_by = serializers.CharField()
    settled_why = serializers.CharField()
    version = serializers.IntegerField(allow_null=True, help_text="What it was published as.")
    scheduled_at = InstantField(allow_null=True, help_text="When it is to be published.")
    scheduled_by = serializers.CharField(help_text="As whom.")


class ApprovalOutput(serializers.Serializer):
    by = serializers.CharField()
    at = InstantField()
    comment = serializers.CharField()
    counts = serializers.BooleanField(help_text="False: the content changed since.")
    own_work = serializers.BooleanField(help_text="Whoever gave it had a hand in the content.")


class ProposalDetailOutput(ProposalOutput):
    content = serializers.DictField(help_text="`rules`, `default` and `offerings`.")
    changes = serializers.ListField(
        child=serializers.CharField(), help_text="Against what it was started from, in plain words."
    )
    meanwhile = serializers.ListField(child=serializers.CharField(), help_text="What went live since, where stale.")
    problems = ProblemOutput(many=True, help_text="Why it cannot be submitted or published.")
    warnings = serializers.ListField(
        child=serializers.CharField(),
        help_text="Gateways heard of within 24 hours that would not understand it; not in the way of publishing.",
    )
    contributors = serializers.ListField(
        child=serializers.CharField(), help_text="They cannot approve it, where duties are separated."
    )
    approvals = ApprovalOutput(many=True)
    separation_of_duties = serializers.BooleanField(help_text="False: whoever contributed may approve it.")


def draft_detail(environment: str, proposal_id: int) -> dict[str, Any]:
    now = timezone.now()
    found = proposals.one(proposal_id=proposal_id, environment=environment, at=now)
    if found is None:
        raise NotFound(f"There is no draft {proposal_id} in {environment}.")
    whole: dict[str, Any] = dict(ProposalOutput(found.row).data)
    return whole | {
        "content": found.content,
        "changes": found.changes,
        "meanwhile": found.meanwhile,
        "problems": [{"pointer": one.pointer, "code": one.code, "text": one.text} for one in found.problems],
        "warnings": fleet.warnings(environment=environment, content=found.content, at=now) if found.row.open else [],
        "contributors": found.contributors,
        "approvals": ApprovalOutput(found.approvals, many=True).data,
        "separation_of_duties": found.separated,
    }


class DraftsApi(RulesEdit):
    """Drafts and what became of them, newest first."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "rules.edit"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(ProposalState.choices, required=False)

    class InputSerializer(serializers.Serializer):
        title = serializers.CharField(max_length=drafting.TITLE_CHARACTERS, help_text="What the change is for.")
        content = serializers.DictField(
            required=False,
            help_text="`rules`, `default` and, if wished, `offerings`, which otherwise come from the catalogue. "
            "Left out: the version in force, which a new environment does not have.",
        )

    @extend_schema(
        summary="Drafts", operation_id="drafts_list", tags=["rules"],
        responses=page_of(ProposalOutput, "ProposalPage"),
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        cursor = read_cursor(self.query.get("after"), (int,))
        rows = proposals.newest(
            environment=environment,
            states=[self.query["state"]] if "state" in self.query else (),
            limit=self.query["limit"] + 1,
            before=None if cursor is None else cursor[0],
        )
        page = paged(request, rows, limit=self.query["limit"], key=lambda row: (row.id,))
        return Response(page | {"results": ProposalOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Start a draft", operation_id="drafts_create", tags=["rules"],
        request=InputSerializer, responses={201: ProposalDetailOutput},
        description="From the version in force. What cannot work may be saved; `problems` names all of it, and "
        "submission refuses it. Pointers of errors lead into the content.",
    )  # fmt: skip
    def post(self, request: Request, environment: str) -> Response:
        data = body(self.InputSerializer, request)
        made = drafting.start(environment=environment, **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, made.pk), status=status.HTTP_201_CREATED)


class DraftApi(RulesEdit):
    """One draft, with its content, its difference in plain words, and what is in its way."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "rules.edit"}

    class InputSerializer(serializers.Serializer):
        saves = serializers.IntegerField(min_value=0, help_text="As you read it: nobody's save is undone unseen.")
        title = serializers.CharField(max_length=drafting.TITLE_CHARACTERS, required=False)
        content = serializers.DictField(required=False, help_text="All of it; see the start of a draft.")

    @extend_schema(summary="A draft", operation_id="drafts_retrieve", tags=["rules"], responses=ProposalDetailOutput)
    def get(self, request: Request, environment: str, pk: int) -> Response:
        return Response(draft_detail(environment, pk))

    @extend_schema(
        summary="Save a draft", operation_id="drafts_update", tags=["rules"],
        request=InputSerializer, responses=ProposalDetailOutput,
        description="Another content makes what is in review or approved a draft again.",
    )  # fmt: skip
    def patch(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        drafting.save(proposal_id=known_draft(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk))


class ConflictOutput(serializers.Serializer):
    place = serializers.CharField(help_text="Its name in `choices`, such as /rules/code-high/targets.")
    part = serializers.CharField(help_text="Such as: rule code-high.")
    member = serializers.CharField(help_text="Such as: targets. Empty: the part as a whole.")
    base = serializers.CharField(help_text="What it was started from, in plain words.")
    theirs = serializers.CharField(help_text="What is in force now.")
    mine = serializers.CharField(help_text="What the draft says.")


class RebaseOutput(serializers.Serializer):
    base_version = serializers.IntegerField(allow_null=True)
    live_version = serializers.IntegerField(allow_null=True, help_text="Send it along as `live`.")
    stale = serializers.BooleanField(help_text="False: it is on the version in force already.")
    saves = serializers.IntegerField(help_text="Send it along.")
    meanwhile = serializers.ListField(child=serializers.CharField(), help_text="What went live since, in plain words.")
    conflicts = ConflictOutput(many=True, help_text="What both sides changed; each needs a choice.")
    content = serializers.DictField(help_text="Merged, with what is in force wherever there is a conflict.")
    changes = serializers.ListField(
        child=serializers.CharField(), help_text="What the merged content changes of what is in force, in plain words."
    )
    problems = ProblemOutput(many=True, help_text="Why the merged content could not be submitted.")


class DraftRebaseApi(Api):
    """Brings a draft that another version overtook up to date: first what it would be, then doing it."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "rules.edit"}

    class InputSerializer(serializers.Serializer):
        saves = serializers.IntegerField(min_value=0, help_text="As you read it: nobody's save is undone unseen.")
        live = serializers.IntegerField(min_value=1, help_text="The version that you saw in force.")
        choices = serializers.DictField(
            child=serializers.ChoiceField([THEIRS, MINE]), required=False, default=dict,
            help_text="For the place of each conflict: `theirs`, what is in force, or `mine`, what the draft says.",
        )  # fmt: skip

    @extend_schema(
        summary="A draft on the version in force", operation_id="drafts_rebase_retrieve", tags=["rules"],
        responses=RebaseOutput, description="A merge of the draft with what went live since it was started.",
    )  # fmt: skip
    def get(self, request: Request, environment: str, pk: int) -> Response:
        found = merges.one(proposal_id=pk, environment=environment, at=timezone.now())
        if found is None:
            raise NotFound(f"There is no draft {pk} in {environment}.")
        return Response(
            RebaseOutput(
                {
                    "base_version": found.row.base_version,
                    "live_version": found.row.live_version,
                    "stale": found.row.stale,
                    "saves": found.row.saves,
                    "meanwhile": found.meanwhile,
                    "conflicts": found.merged.conflicts,
                    "content": found.merged.content,
                    "changes": found.changes,
                    "problems": found.problems,
                }
            ).data
        )

    @extend_schema(
        summary="Bring a draft up to date", operation_id="drafts_rebase", tags=["rules"],
        request=InputSerializer, responses=ProposalDetailOutput,
        description="It is a draft on the version in force then, to be submitted and approved anew. Refused with 422 "
        "and every conflict without a choice, its place as the pointer; with 409 where somebody saved it, or another "
        "version went live, since it was read.",
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        rebasing.rebase(proposal_id=known_draft(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk))


class DraftSubmitApi(Api):
    """Puts a draft up for review."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.edit"}

    @extend_schema(
        summary="Submit a draft", operation_id="drafts_submit", tags=["rules"], request=None,
        responses=ProposalDetailOutput, description="Refused with all reasons at once where it cannot work.",
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        drafting.submit(proposal_id=known_draft(environment, pk), by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk))


class DraftApproveApi(Api):
    """Says yes to exactly the bytes that were looked at."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.approve"}

    class InputSerializer(serializers.Serializer):
        sha256 = serializers.RegexField(r"^[0-9a-fA-F]{64}$", help_text="Of the draft that you looked at.")
        comment = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Approve a draft", operation_id="drafts_approve", tags=["rules"],
        request=InputSerializer, responses=ProposalDetailOutput, description="Refused to whoever contributed to it.",
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        drafting.approve(proposal_id=known_draft(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk))


class DraftRejectApi(Api):
    """Turns a draft down for good."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.approve"}

    class InputSerializer(serializers.Serializer):
        why = serializers.CharField(max_length=2000)

    @extend_schema(
        summary="Reject a draft", operation_id="drafts_reject", tags=["rules"],
        request=InputSerializer, responses=ProposalDetailOutput,
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        drafting.reject(proposal_id=known_draft(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk))


class DraftWithdrawApi(Api):
    """Takes a draft back."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.edit"}

    class InputSerializer(serializers.Serializer):
        why = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Withdraw a draft", operation_id="drafts_withdraw", tags=["rules"],
        request=InputSerializer, responses=ProposalDetailOutput,
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        drafting.withdraw(proposal_id=known_draft(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(draft_detail(environment, pk))


class DraftPublishApi(Api):
    """Freezes what is approved and puts it in force."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.publish"}

    @extend_schema(
        summary="Publish a draft", operation_id="drafts_publish", tags=["rules"], request=None,
        responses={201: VersionOutput},
        description="Refused with 409 where another version went live since it was started, and says what changed.",
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        made = publishing.publish(proposal_id=known_draft(environment, pk), by=acting_as(request), at=timezone.now())
        return Response(version_row(environment, made.number), status=status.HTTP_201_CREATED)
