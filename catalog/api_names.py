"""REST for use cases and teams. Ids in paths: names may hold slashes."""

from __future__ import annotations

from typing import ClassVar

from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api_parts import after, one_of, settled
from catalog.models import ClaimState, Team, UseCase
from catalog.selectors import lists
from catalog.services import baselines, offerings, teams, use_cases
from core.api import InstantField, PageQuery, acting_as, body, page_of, paged
from core.api_views import Api


class UseCaseOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    title = serializers.CharField()
    owner = serializers.CharField()
    data_class = serializers.CharField()
    state = serializers.ChoiceField(ClaimState.choices)
    baseline = serializers.CharField(allow_null=True, help_text="The offering that its savings are told against.")
    team = serializers.CharField(allow_null=True, help_text="Who answers for it now.")
    aliases = serializers.ListField(child=serializers.CharField(), help_text="Other labels, folded.")
    first_seen_at = InstantField(allow_null=True)


class UseCasesApi(Api):
    """Use cases: what calls are for. One that an event named first waits for an owner."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "catalog.edit"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(ClaimState.choices, required=False)

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=128)
        title = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)
        owner = serializers.CharField(max_length=254, required=False, default="", allow_blank=True)
        data_class = serializers.CharField(max_length=32, required=False, default="", allow_blank=True)
        team = serializers.CharField(max_length=128, required=False, help_text="Name of the team that answers for it.")
        team_since = InstantField(required=False, help_text="Now, where not given.")

    @extend_schema(
        summary="Use cases", operation_id="use_cases_list", tags=["catalogue"],
        responses=page_of(UseCaseOutput, "UseCasePage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit = self.query["limit"]
        rows = lists.use_cases(
            at=timezone.now(), after=after(self.query), most=limit + 1, state=self.query.get("state", "")
        )
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": UseCaseOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Make a use case", operation_id="use_cases_create", tags=["catalogue"],
        request=InputSerializer, responses={201: UseCaseOutput},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        team = teams.get(data.pop("team")) if "team" in data else None
        made = use_cases.create(**data, team=team, by=acting_as(request), at=now)
        return Response(UseCaseOutput(lists.use_cases(at=now, only=made.pk)[0]).data, status=status.HTTP_201_CREATED)


class UseCaseApi(Api):
    """One use case."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        title = serializers.CharField(max_length=200, required=False, allow_blank=True)
        owner = serializers.CharField(max_length=254, required=False, allow_blank=True)
        data_class = serializers.CharField(max_length=32, required=False, allow_blank=True)
        team = serializers.CharField(max_length=128, required=False, help_text="Answers for it from `team_since` on.")
        team_since = InstantField(required=False, help_text="Now, where not given.")
        baseline = serializers.CharField(
            max_length=193, required=False, allow_null=True,
            help_text="The offering that its savings are told against; null: none. Needs a reason.",
        )  # fmt: skip
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(summary="A use case", operation_id="use_cases_retrieve", tags=["catalogue"], responses=UseCaseOutput)
    def get(self, request: Request, pk: int) -> Response:
        row = one_of(lists.use_cases(at=timezone.now(), only=pk), "use case", pk)
        return Response(UseCaseOutput(row).data)

    @extend_schema(
        summary="Change a use case", operation_id="use_cases_update", tags=["catalogue"],
        request=InputSerializer, responses=UseCaseOutput,
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        data, now, by = body(self.InputSerializer, request), timezone.now(), acting_as(request)
        use_case = one_of(list(UseCase.objects.filter(pk=pk)), "use case", pk)
        team, since_at = data.pop("team", None), data.pop("team_since", now)
        with transaction.atomic():  # all that was asked for, or nothing
            if team is not None:
                use_cases.assign_team(
                    use_case=use_case, team=teams.get(team), since_at=since_at, by=by, reason=data["reason"], at=now
                )
            if "baseline" in data:
                name = data.pop("baseline")
                baselines.choose(
                    use_cases=[use_case], offering=None if name is None else offerings.get(name), by=by,
                    reason=data["reason"],
                )  # fmt: skip
            use_cases.change(use_case=use_case, by=by, **data)
        return Response(UseCaseOutput(lists.use_cases(at=now, only=pk)[0]).data)


class UseCaseClaimApi(Api):
    """Taking charge of a use case that an event named first."""

    actions: ClassVar[dict[str, str]] = {"POST": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        owner = serializers.CharField(max_length=254)
        team = serializers.CharField(
            max_length=128, required=False, help_text="Answers for it from its first event on."
        )
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Claim a use case", operation_id="use_cases_claim", tags=["catalogue"],
        request=InputSerializer, responses=UseCaseOutput,
        description="Safe to repeat: whoever was first stays its owner.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        use_case = one_of(list(UseCase.objects.filter(pk=pk)), "use case", pk)
        team = teams.get(data.pop("team")) if "team" in data else None
        use_cases.claim(use_case=use_case, team=team, by=acting_as(request), at=now, **data)
        return Response(UseCaseOutput(lists.use_cases(at=now, only=pk)[0]).data)


class UseCaseMergeApi(Api):
    """Saying that a use case is really another one."""

    actions: ClassVar[dict[str, str]] = {"POST": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        into = serializers.CharField(max_length=128, help_text="Name of the use case that it is.")
        since = InstantField(required=False, help_text="Now, where not given; calls since then move there.")
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Let every label of a use case mean another one", operation_id="use_cases_merge", tags=["catalogue"],
        request=InputSerializer, responses=UseCaseOutput,
        description="Answers with the one that was merged. What was booked since is restated. Safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        use_case = one_of(list(UseCase.objects.filter(pk=pk)), "use case", pk)
        use_cases.merge(
            use_case=use_case, into=use_cases.get(data["into"]), since_at=data.get("since", now),
            by=acting_as(request), at=now, reason=data["reason"],
        )  # fmt: skip
        settled()
        return Response(UseCaseOutput(lists.use_cases(at=timezone.now(), only=pk)[0]).data)


class TeamOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    state = serializers.ChoiceField(ClaimState.choices)
    aliases = serializers.ListField(child=serializers.CharField(), help_text="Other labels, folded.")
    first_seen_at = InstantField(allow_null=True)


class TeamsApi(Api):
    """Teams: who pays."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "catalog.edit"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(ClaimState.choices, required=False)

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=128)

    @extend_schema(
        summary="Teams", operation_id="teams_list", tags=["catalogue"], responses=page_of(TeamOutput, "TeamPage")
    )
    def get(self, request: Request) -> Response:
        limit = self.query["limit"]
        rows = lists.teams(
            at=timezone.now(), after=after(self.query), most=limit + 1, state=self.query.get("state", "")
        )
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": TeamOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Make a team", operation_id="teams_create", tags=["catalogue"],
        request=InputSerializer, responses={201: TeamOutput},
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        made = teams.create(**data, by=acting_as(request), at=now)
        return Response(TeamOutput(lists.teams(at=now, only=made.pk)[0]).data, status=status.HTTP_201_CREATED)


class TeamApi(Api):
    """One team."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=128, required=False, help_text="The old name stays known as an alias.")
        state = serializers.ChoiceField([("claimed", "claimed")], required=False, help_text="Says that it is real.")
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(summary="A team", operation_id="teams_retrieve", tags=["catalogue"], responses=TeamOutput)
    def get(self, request: Request, pk: int) -> Response:
        return Response(TeamOutput(one_of(lists.teams(at=timezone.now(), only=pk), "team", pk)).data)

    @extend_schema(
        summary="Rename or claim a team", operation_id="teams_update", tags=["catalogue"],
        request=InputSerializer, responses=TeamOutput,
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        data, now, by = body(self.InputSerializer, request), timezone.now(), acting_as(request)
        team = one_of(list(Team.objects.filter(pk=pk)), "team", pk)
        with transaction.atomic():  # all that was asked for, or nothing
            if "name" in data:
                teams.change(team=team, name=data["name"], by=by, at=now, reason=data["reason"])
            if "state" in data:
                teams.claim(team=team, by=by, reason=data["reason"])
        return Response(TeamOutput(lists.teams(at=now, only=pk)[0]).data)


class TeamMergeApi(Api):
    """Saying that a team is really another one."""

    actions: ClassVar[dict[str, str]] = {"POST": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        into = serializers.CharField(max_length=128, help_text="Name of the team that it is.")
        since = InstantField(required=False, help_text="Now, where not given; calls since then move there.")
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Let every label of a team mean another one", operation_id="teams_merge", tags=["catalogue"],
        request=InputSerializer, responses=TeamOutput,
        description="Answers with the one that was merged. What was booked since is restated. Safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        team = one_of(list(Team.objects.filter(pk=pk)), "team", pk)
        teams.merge(
            team=team, into=teams.get(data["into"]), since_at=data.get("since", now),
            by=acting_as(request), at=now, reason=data["reason"],
        )  # fmt: skip
        settled()
        return Response(TeamOutput(lists.teams(at=timezone.now(), only=pk)[0]).data)
