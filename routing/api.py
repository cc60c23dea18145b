"""REST for the life of rules: drafts, versions, decisions, switches. What gateways poll is in `api_serving.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any, ClassVar

from django.http import HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from routing.models import ProposalState, SwitchKind
from routing.rules import document
from routing.rules.evaluator import REASONS, Decision
from routing.rules.validation import MAX_BYTES
from routing.selectors import deciding, proposals, versions
from routing.selectors import switches as switch_rows
from routing.services import proposals as drafting
from routing.services import switches
from routing.services import versions as publishing


class StrictJSONParser(JSONParser):
    """Reads JSON and refuses what readers disagree about: a member twice, a number with a fraction."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return document.parse(stream.read())
        except document.NotADocument as error:
            raise ParseError(f"This body cannot be read: {error}") from error


class RulesEdit(Api):
    """A view whose body may hold a whole set of rules."""

    parser_classes = (StrictJSONParser,)
    largest_body_bytes = 2 * MAX_BYTES


# --- what is answered ---


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


class ApprovalOutput(serializers.Serializer):
    by = serializers.CharField()
    at = InstantField()
    comment = serializers.CharField()
    counts = serializers.BooleanField(help_text="False: the content changed since.")


class ProposalDetailOutput(ProposalOutput):
    content = serializers.DictField(help_text="`rules`, `default` and `offerings`.")
    changes = serializers.ListField(
        child=serializers.CharField(), help_text="Against what it was started from, in plain words."
    )
    meanwhile = serializers.ListField(child=serializers.CharField(), help_text="What went live since, where stale.")
    problems = ProblemOutput(many=True, help_text="Why it cannot be submitted or published.")
    contributors = serializers.ListField(child=serializers.CharField(), help_text="They cannot approve it.")
    approvals = ApprovalOutput(many=True)


class VersionOutput(serializers.Serializer):
    environment = serializers.CharField()
    number = serializers.IntegerField()
    base = serializers.IntegerField(allow_null=True)
    title = serializers.CharField()
    reason = serializers.CharField(help_text="Of a rollback.")
    published_at = InstantField()
    published_by = serializers.CharField()
    approved_by = serializers.CharField(help_text="Empty for a rollback.")
    rolls_back_to = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField()
    live = serializers.BooleanField(help_text="In force now.")


class FrozenOutput(serializers.Serializer):
    spec = serializers.IntegerField()
    environment = serializers.CharField()
    version = serializers.IntegerField()
    base = serializers.IntegerField(allow_null=True)
    published_at = InstantField()
    published_by = serializers.CharField()
    approved_by = serializers.CharField()
    title = serializers.CharField()
    reason = serializers.CharField()
    rolls_back_to = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(help_text="Of the canonical bytes of `rules`, `default` and `offerings`.")
    rules = serializers.ListField(child=serializers.DictField())
    default = serializers.DictField()
    offerings = serializers.DictField()


class StepOutput(serializers.Serializer):
    subject = serializers.CharField()
    outcome = serializers.CharField()


class DecisionOutput(serializers.Serializer):
    offering = serializers.CharField(allow_null=True, help_text="Where the request goes; null: it is blocked.")
    model = serializers.CharField(allow_null=True)
    provider = serializers.CharField(allow_null=True)
    gateway_name = serializers.CharField(allow_null=True, help_text="As the request's `gateway_kind` calls it.")
    blocked = serializers.BooleanField()
    rule = serializers.CharField(allow_null=True, help_text="The rule that matched; null: none did.")
    reason = serializers.ChoiceField([(reason, reason) for reason in REASONS])
    taken_from = serializers.CharField(allow_null=True)
    fallbacks = serializers.ListField(child=serializers.CharField(), help_text="To try next, in this order.")
    params = serializers.DictField(help_text="Settings by provider.")
    timeout_ms = serializers.IntegerField(allow_null=True)
    version = serializers.IntegerField(help_text="0: of a draft.")
    revision = serializers.IntegerField(help_text="Of the state; 0: of a draft, held to the present state.")
    canary = serializers.BooleanField()
    budget = serializers.CharField(allow_null=True, help_text="Which moved or blocked the request.")
    steps = StepOutput(many=True, help_text="All that was looked at on the way, in order.")


class SwitchOutput(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(SwitchKind.choices)
    name = serializers.CharField()
    off = serializers.BooleanField()
    since = InstantField()
    until = InstantField()
    reason = serializers.CharField()
    by = serializers.CharField()
    holds = serializers.BooleanField(help_text="It is the last word on this name and has not ended.")


# --- drafts ---


def _written(environment: str, proposal_id: int) -> dict[str, Any]:
    found = proposals.one(proposal_id=proposal_id, environment=environment, at=timezone.now())
    if found is None:
        raise NotFound(f"There is no draft {proposal_id} in {environment}.")
    whole: dict[str, Any] = dict(ProposalOutput(found.row).data)
    return whole | {
        "content": found.content,
        "changes": found.changes,
        "meanwhile": found.meanwhile,
        "problems": [{"pointer": one.pointer, "code": one.code, "text": one.text} for one in found.problems],
        "contributors": found.contributors,
        "approvals": ApprovalOutput(found.approvals, many=True).data,
    }


def _known(environment: str, proposal_id: int) -> int:
    """Return the id where the draft belongs to the environment of the path.

    Raises:
        NotFound
    """
    if not proposals.belongs(proposal_id=proposal_id, environment=environment):
        raise NotFound(f"There is no draft {proposal_id} in {environment}.")
    return proposal_id


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
        return Response(_written(environment, made.pk), status=status.HTTP_201_CREATED)


class DraftApi(RulesEdit):
    """One draft, with its content, its difference in plain words, and what is in its way."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "rules.edit"}

    class InputSerializer(serializers.Serializer):
        saves = serializers.IntegerField(min_value=0, help_text="As you read it: nobody's save is undone unseen.")
        title = serializers.CharField(max_length=drafting.TITLE_CHARACTERS, required=False)
        content = serializers.DictField(required=False, help_text="All of it; see the start of a draft.")

    @extend_schema(summary="A draft", operation_id="drafts_retrieve", tags=["rules"], responses=ProposalDetailOutput)
    def get(self, request: Request, environment: str, pk: int) -> Response:
        return Response(_written(environment, pk))

    @extend_schema(
        summary="Save a draft", operation_id="drafts_update", tags=["rules"],
        request=InputSerializer, responses=ProposalDetailOutput,
        description="Another content makes what is in review or approved a draft again.",
    )  # fmt: skip
    def patch(self, request: Request, environment: str, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        drafting.save(proposal_id=_known(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(_written(environment, pk))


class DraftSubmitApi(Api):
    """Puts a draft up for review."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.edit"}

    @extend_schema(
        summary="Submit a draft", operation_id="drafts_submit", tags=["rules"], request=None,
        responses=ProposalDetailOutput, description="Refused with all reasons at once where it cannot work.",
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        drafting.submit(proposal_id=_known(environment, pk), by=acting_as(request), at=timezone.now())
        return Response(_written(environment, pk))


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
        drafting.approve(proposal_id=_known(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(_written(environment, pk))


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
        drafting.reject(proposal_id=_known(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(_written(environment, pk))


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
        drafting.withdraw(proposal_id=_known(environment, pk), **data, by=acting_as(request), at=timezone.now())
        return Response(_written(environment, pk))


class DraftPublishApi(Api):
    """Freezes what is approved and puts it in force."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.publish"}

    @extend_schema(
        summary="Publish a draft", operation_id="drafts_publish", tags=["rules"], request=None,
        responses={201: VersionOutput},
        description="Refused with 409 where another version went live since it was started, and says what changed.",
    )  # fmt: skip
    def post(self, request: Request, environment: str, pk: int) -> Response:
        made = publishing.publish(proposal_id=_known(environment, pk), by=acting_as(request), at=timezone.now())
        return Response(_version(environment, made.number), status=status.HTTP_201_CREATED)


# --- versions ---


def _detail(environment: str, number: int) -> versions.VersionDetail:
    found = versions.one(environment=environment, number=number)
    if found is None:
        raise NotFound(f"There is no version {number} of {environment}.")
    return found


def _version(environment: str, number: int) -> Mapping[str, Any]:
    return VersionOutput(_detail(environment, number).row).data


class VersionsApi(Api):
    """What was published, the latest first."""

    actions: ClassVar[dict[str, str]] = {"GET": "rules.read"}

    class QuerySerializer(PageQuery):
        pass

    @extend_schema(
        summary="Versions", operation_id="versions_list", tags=["rules"],
        responses=page_of(VersionOutput, "VersionPage"),
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        cursor = read_cursor(self.query.get("after"), (int,))
        before = None if cursor is None else cursor[0]
        rows = versions.newest(environment=environment, limit=self.query["limit"] + 1, before=before)
        page = paged(request, rows, limit=self.query["limit"], key=lambda row: (row.number,))
        return Response(page | {"results": VersionOutput(page["results"], many=True).data})


class VersionApi(Api):
    """One published version: it never changes, so whoever has it need not ask again."""

    actions: ClassVar[dict[str, str]] = {"GET": "rules.read"}

    @extend_schema(
        summary="A published version", operation_id="versions_retrieve", tags=["rules"], responses=FrozenOutput
    )
    def get(self, request: Request, environment: str, number: int) -> HttpResponseBase:
        found = _detail(environment, number)
        row = asdict(found.row)
        row.pop("live")
        headers = {"ETag": f'"{found.row.sha256}"', "Cache-Control": "private, max-age=31536000, immutable"}
        whole = Response(
            FrozenOutput(row | {"spec": document.SPEC, "version": row.pop("number"), **found.content}).data,
            headers=headers,
        )
        answer = get_conditional_response(request._request, etag=headers["ETag"], response=whole)
        return whole if answer is None else answer


class RollbackApi(Api):
    """Goes back to a version in one step."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.publish"}

    class InputSerializer(serializers.Serializer):
        to = serializers.IntegerField(min_value=1, help_text="A version that was once published.")
        reason = serializers.CharField(max_length=2000)
        seen = serializers.IntegerField(
            min_value=1, required=False, help_text="The version you take for the one in force; 409 if it is not."
        )

    @extend_schema(
        summary="Roll back", operation_id="rules_rollback", tags=["rules"],
        request=InputSerializer, responses={201: VersionOutput},
        description="Publishes that version's content as a new version. It needs a reason and no second approval.",
    )  # fmt: skip
    def post(self, request: Request, environment: str) -> Response:
        data = body(self.InputSerializer, request)
        data.setdefault("seen", versions.live_number(environment=environment))
        made = publishing.roll_back(environment=environment, **data, by=acting_as(request), at=timezone.now())
        return Response(_version(environment, made.number), status=status.HTTP_201_CREATED)


# --- decisions and switches ---


class DecideApi(RulesEdit):
    """What the rules would do with a request, and why."""

    actions: ClassVar[dict[str, str]] = {"POST": "rules.read"}

    class InputSerializer(serializers.Serializer):
        context = serializers.DictField(  # type: ignore[assignment]  # the metaclass takes it out of the class
            help_text='The request, such as {"use_case": "code-review", "task": "code", "complexity": "0.8"}; '
            "see context.schema.json. Numbers are integers or decimal strings."
        )
        draft = serializers.IntegerField(required=False, min_value=1, help_text="Decide by this draft instead.")
        now = InstantField(required=False, help_text="The instant to decide at; the present one, where not given.")

    @extend_schema(
        summary="Decide for a request", operation_id="rules_decide", tags=["rules"],
        request=InputSerializer, responses=DecisionOutput, description="Nothing is sent anywhere and nothing is kept.",
    )  # fmt: skip
    def post(self, request: Request, environment: str) -> Response:
        data = body(self.InputSerializer, request)
        at, draft = data.get("now", timezone.now()), data.get("draft")
        if draft is None:
            decision = deciding.live(environment=environment, context=data["context"], at=at)
        else:
            content = proposals.content(proposal_id=_known(environment, draft))
            decision = deciding.trial(content=content, environment=environment, context=data["context"], at=at)
        return Response(_decided(decision))


def _decided(decision: Decision) -> dict[str, Any]:
    steps = [step._asdict() for step in decision.steps]
    return decision._asdict() | {"blocked": decision.blocked, "params": dict(decision.params), "steps": steps}


class SwitchesApi(Api):
    """Switches, the latest first."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "switches.turn"}

    class QuerySerializer(PageQuery):
        pass

    class InputSerializer(serializers.Serializer):
        provider = serializers.CharField(max_length=193, required=False)
        model = serializers.CharField(max_length=193, required=False)
        offering = serializers.CharField(max_length=193, required=False, help_text="Give one of the three.")
        off = serializers.BooleanField(required=False, default=True, help_text="False: on again, or on all the same.")
        seconds = serializers.IntegerField(
            required=False, min_value=0, max_value=switches.LONGEST_SECONDS,
            help_text='How long it holds. "On" for 0 seconds, as where not given, takes an "off" back.',
        )  # fmt: skip
        reason = serializers.CharField(max_length=switches.REASON_CHARACTERS)

        def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
            named = [kind for kind in SwitchKind.values if kind in attrs]
            if len(named) != 1:
                raise serializers.ValidationError(f"Give exactly one of {', '.join(SwitchKind.values)}.")
            if attrs["off"] and "seconds" not in attrs:
                raise serializers.ValidationError({"seconds": "Say for how long it is off."})
            return attrs

    @extend_schema(
        summary="Switches", operation_id="switches_list", tags=["rules"],
        responses=page_of(SwitchOutput, "SwitchPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        cursor = read_cursor(self.query.get("after"), (int,))
        before = None if cursor is None else cursor[0]
        rows = switch_rows.newest(limit=self.query["limit"] + 1, before=before)
        page = paged(request, rows, limit=self.query["limit"], key=lambda row: (row.id,))
        holding = {row.id for row in switch_rows.in_force(at=timezone.now())}
        return Response(page | {"results": [_word(row, holds=row.id in holding) for row in page["results"]]})

    @extend_schema(
        summary="Turn a switch", operation_id="switches_create", tags=["rules"],
        request=InputSerializer, responses={201: SwitchOutput},
        description="Off, or on, in every environment from now on; it ends by itself, also in gateways that cannot "
        "reach Tollkeeper. Gateways have it with their next poll.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        kind = next(kind for kind in SwitchKind.values if kind in data)
        turned = switches.turn(
            kind=kind,
            name=data[kind],
            off=data["off"],
            seconds=data.get("seconds", 0),
            reason=data["reason"],
            by=acting_as(request),
            at=now,
        )
        row = next(row for row in switch_rows.newest(limit=1, before=turned.pk + 1))
        return Response(_word(row, holds=now < row.until), status=status.HTTP_201_CREATED)


def _word(row: switch_rows.SwitchRow, *, holds: bool) -> dict[str, Any]:
    return dict(SwitchOutput(asdict(row) | {"holds": holds}).data)
