"""REST for what events name: use cases, teams, models at providers, prices. Ids in paths: names may hold slashes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.models import ClaimState, HourWindow, Meter, Offering, Team, Tier, UseCase
from catalog.selectors import lists
from catalog.services import aliases, offerings, prices, teams, use_cases
from core import nudges
from core.api import (
    InstantField,
    MoneyField,
    PageQuery,
    acting_as,
    body,
    page_of,
    paged,
    read_cursor,
)
from core.api_views import Api
from core.errors import NotFound
from core.services import barrier

TIERS = {str(tier.label): tier for tier in Tier if tier is not Tier.UNCLASSIFIED}
# What waits for a price is looked for by the background worker; who changed the catalogue asks it to look now.
_LOOK_FOR_PRICES = ("usage.tasks.run_jobs", "background")


def _after(query: dict[str, Any]) -> int:
    cursor = read_cursor(query.get("after"), (int,))
    return cursor[0] if cursor else 0


def _settled() -> None:
    """Return once no booking is open that still works with the catalogue as it was, and have waiting entries priced."""
    barrier.pass_through()
    nudges.nudge(*_LOOK_FOR_PRICES)


def _one(rows: list[Any], what: str, pk: int) -> Any:
    if not rows:
        raise NotFound(f"There is no {what} {pk}.")
    return rows[0]


# --- use cases ---


class UseCaseOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    title = serializers.CharField()
    owner = serializers.CharField()
    data_class = serializers.CharField()
    state = serializers.ChoiceField(ClaimState.choices)
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
            at=timezone.now(), after=_after(self.query), most=limit + 1, state=self.query.get("state", "")
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
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(summary="A use case", operation_id="use_cases_retrieve", tags=["catalogue"], responses=UseCaseOutput)
    def get(self, request: Request, pk: int) -> Response:
        row = _one(lists.use_cases(at=timezone.now(), only=pk), "use case", pk)
        return Response(UseCaseOutput(row).data)

    @extend_schema(
        summary="Change a use case", operation_id="use_cases_update", tags=["catalogue"],
        request=InputSerializer, responses=UseCaseOutput,
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        data, now, by = body(self.InputSerializer, request), timezone.now(), acting_as(request)
        use_case = _one(list(UseCase.objects.filter(pk=pk)), "use case", pk)
        team, since_at = data.pop("team", None), data.pop("team_since", now)
        if team is not None:
            use_cases.assign_team(
                use_case=use_case, team=teams.get(team), since_at=since_at, by=by, reason=data["reason"], at=now
            )
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
        use_case = _one(list(UseCase.objects.filter(pk=pk)), "use case", pk)
        team = teams.get(data.pop("team")) if "team" in data else None
        use_cases.claim(use_case=use_case, team=team, by=acting_as(request), at=now, **data)
        return Response(UseCaseOutput(lists.use_cases(at=now, only=pk)[0]).data)


# --- teams ---


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
            at=timezone.now(), after=_after(self.query), most=limit + 1, state=self.query.get("state", "")
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
        return Response(TeamOutput(_one(lists.teams(at=timezone.now(), only=pk), "team", pk)).data)

    @extend_schema(
        summary="Rename or claim a team", operation_id="teams_update", tags=["catalogue"],
        request=InputSerializer, responses=TeamOutput,
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        data, now, by = body(self.InputSerializer, request), timezone.now(), acting_as(request)
        team = _one(list(Team.objects.filter(pk=pk)), "team", pk)
        if "name" in data:
            teams.change(team=team, name=data["name"], by=by, at=now, reason=data["reason"])
        if "state" in data:
            teams.claim(team=team, by=by, reason=data["reason"])
        return Response(TeamOutput(lists.teams(at=now, only=pk)[0]).data)


# --- models at providers, and their prices ---


class PriceOutput(serializers.Serializer):
    id = serializers.IntegerField()
    offering = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()
    meter = serializers.ChoiceField(Meter.choices)
    usd_per_1m = MoneyField(help_text="USD per million units of the meter.")
    valid_from = InstantField(allow_null=True)
    valid_until = InstantField(allow_null=True, help_text="Null: until further notice.")
    recorded_at = InstantField(allow_null=True)
    context_over = serializers.IntegerField(
        allow_null=True, help_text="Holds for requests whose input passes so many tokens (reaches, where inclusive)."
    )
    context_inclusive = serializers.BooleanField()
    service_tier = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    hour_window = serializers.CharField(allow_null=True)
    contract = serializers.CharField(allow_null=True, help_text="Null: the list price.")
    source = serializers.CharField()  # type: ignore[assignment]  # every field has an attribute of that name
    source_version = serializers.CharField()
    source_url = serializers.CharField()
    note = serializers.CharField()
    entered_by = serializers.CharField()
    approved_by = serializers.CharField()


class OfferingOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField(help_text="model@provider")
    model = serializers.CharField()
    provider = serializers.CharField()
    is_default = serializers.BooleanField(help_text="Whether the model named alone means this offering.")
    tier = serializers.ChoiceField([(str(tier.label), str(tier.label)) for tier in Tier])
    state = serializers.ChoiceField(ClaimState.choices)
    region = serializers.CharField()
    data_class = serializers.CharField()
    gateway_names = serializers.DictField(child=serializers.CharField())
    aliases = serializers.ListField(child=serializers.CharField())
    lab = serializers.CharField()
    open_weights = serializers.BooleanField()
    licence = serializers.CharField()
    context_tokens = serializers.IntegerField(allow_null=True)
    first_seen_at = InstantField(allow_null=True)
    retired_at = InstantField(allow_null=True)
    prices = PriceOutput(many=True, help_text="List prices of this moment.")


class ModelsApi(Api):
    """Models at providers (offerings), with tier and prices of this moment."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "catalog.edit"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(ClaimState.choices, required=False)
        provider = serializers.CharField(required=False)
        model = serializers.CharField(required=False)

    class InputSerializer(serializers.Serializer):
        model = serializers.CharField(max_length=128)
        provider = serializers.CharField(max_length=64)
        region = serializers.CharField(max_length=32, required=False, default="", allow_blank=True)
        data_class = serializers.CharField(max_length=32, required=False, default="", allow_blank=True)
        gateway_names = serializers.DictField(child=serializers.CharField(max_length=193), required=False)
        default = serializers.BooleanField(
            required=False, default=False, help_text="Let the model named alone mean this offering, if none does yet."
        )

    @extend_schema(
        summary="Models at providers", operation_id="models_list", tags=["catalogue"],
        responses=page_of(OfferingOutput, "OfferingPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit = self.query["limit"]
        named = {name: self.query.get(name, "") for name in ("state", "provider", "model")}
        rows = lists.offerings(at=timezone.now(), after=_after(self.query), most=limit + 1, **named)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": OfferingOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Make or claim a model at a provider", operation_id="models_create", tags=["catalogue"],
        request=InputSerializer, responses={201: OfferingOutput},
        description="Safe to repeat. Model and provider are made too where they are new.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = body(self.InputSerializer, request)
        made = offerings.ensure(**data, by=acting_as(request))
        _settled()
        row = lists.offerings(at=timezone.now(), only=made.pk)[0]
        return Response(OfferingOutput(row).data, status=status.HTTP_201_CREATED)


class ModelApi(Api):
    """One model at a provider."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "PATCH": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        tier = serializers.ChoiceField([(name, name) for name in TIERS], required=False)
        tier_since = InstantField(required=False, help_text="Now, where not given; entries from before keep theirs.")
        retired = serializers.ChoiceField([(True, "yes")], required=False, help_text="Retires it for good.")
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="A model at a provider", operation_id="models_retrieve", tags=["catalogue"], responses=OfferingOutput
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(OfferingOutput(_one(lists.offerings(at=timezone.now(), only=pk), "offering", pk)).data)

    @extend_schema(
        summary="Give a model at a provider a tier, or retire it", operation_id="models_update", tags=["catalogue"],
        request=InputSerializer, responses=OfferingOutput,
    )  # fmt: skip
    def patch(self, request: Request, pk: int) -> Response:
        data, now, by = body(self.InputSerializer, request), timezone.now(), acting_as(request)
        offering = _one(list(Offering.objects.filter(pk=pk)), "offering", pk)
        if "tier" in data:
            offerings.set_tier(
                offering=offering, tier=TIERS[data["tier"]], since_at=data.get("tier_since", now), by=by,
                reason=data["reason"], at=now,
            )  # fmt: skip
        if "retired" in data:
            offerings.retire(offering=offering, by=by, at=now, reason=data["reason"])
        _settled()
        return Response(OfferingOutput(lists.offerings(at=timezone.now(), only=pk)[0]).data)


class ModelAliasesApi(Api):
    """Names that gateways use for a model at a provider."""

    actions: ClassVar[dict[str, str]] = {"POST": "catalog.edit"}

    class InputSerializer(serializers.Serializer):
        name = serializers.CharField(max_length=193)
        since = InstantField(required=False, help_text="Now, where not given.")
        until = InstantField(required=False, allow_null=True)
        reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)

    @extend_schema(
        summary="Let a gateway's name mean this model at a provider", operation_id="models_add_alias",
        tags=["catalogue"], request=InputSerializer, responses={201: OfferingOutput},
        description="A name that means another one moves on from there. Safe to repeat.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data, now = body(self.InputSerializer, request), timezone.now()
        offering = _one(list(Offering.objects.filter(pk=pk)), "offering", pk)
        aliases.assign(
            name=data["name"], offering=offering, by=acting_as(request), since_at=data.get("since", now),
            until=data.get("until"), reason=data["reason"], at=now,
        )  # fmt: skip
        _settled()
        row = lists.offerings(at=timezone.now(), only=pk)[0]
        return Response(OfferingOutput(row).data, status=status.HTTP_201_CREATED)


class PricesApi(Api):
    """The price book as it is held true now. Prices are never changed: a new one takes the old one's place."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "prices.approve"}

    class QuerySerializer(PageQuery):
        offering = serializers.CharField(required=False, help_text="model@provider")
        provider = serializers.CharField(required=False)
        model = serializers.CharField(required=False)
        meter = serializers.ChoiceField(Meter.choices, required=False)
        at = InstantField(required=False, help_text="Only prices that hold at this instant.")

    class InputSerializer(serializers.Serializer):
        offering = serializers.CharField(max_length=193, help_text="model@provider; a model alone means its default.")
        meter = serializers.ChoiceField(Meter.choices)
        usd_per_1m = MoneyField(help_text="USD per million units of the meter, as a string.")
        valid_from = InstantField()
        valid_until = InstantField(required=False, allow_null=True)
        context_over = serializers.IntegerField(required=False, allow_null=True, min_value=1)
        context_inclusive = serializers.BooleanField(required=False, default=False)
        service_tier = serializers.CharField(max_length=16, required=False, allow_null=True)
        region = serializers.CharField(max_length=32, required=False, allow_null=True)
        hour_window = serializers.SlugRelatedField(
            "name", queryset=HourWindow.objects.all(), required=False, allow_null=True
        )
        currency = serializers.CharField(max_length=3, required=False, default="USD", help_text="USD, nothing else.")
        source = serializers.CharField(  # type: ignore[assignment]
            max_length=64, help_text="Where the figure comes from."
        )
        source_version = serializers.CharField(max_length=64, required=False, default="", allow_blank=True)
        source_url = serializers.URLField(max_length=500, required=False, default="", allow_blank=True)
        note = serializers.CharField(max_length=2000, required=False, default="", allow_blank=True)

    class SetOutput(serializers.Serializer):
        price = PriceOutput()
        written = serializers.BooleanField(help_text="False where the book said so already.")
        replaced = serializers.ListField(child=serializers.IntegerField(), help_text="Ids of prices no longer held.")
        example = serializers.CharField(help_text="What one request costs with it: look whether the unit is right.")

    @extend_schema(
        summary="The price book", operation_id="prices_list", tags=["catalogue"],
        responses=page_of(PriceOutput, "PricePage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit = self.query["limit"]
        named = {name: self.query.get(name, "") for name in ("offering", "provider", "model", "meter")}
        rows = lists.prices(after=_after(self.query), most=limit + 1, at=self.query.get("at"), **named)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": PriceOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Set a price", operation_id="prices_create", tags=["catalogue"],
        request=InputSerializer, responses={200: SetOutput, 201: SetOutput},
        description="Holds over [valid_from, valid_until) and takes the place of what the book said for that time. "
        "Events booked after the answer are priced with it; entries that waited for a price get it. 200 and "
        "`written: false` where the book said so already.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data, by = body(self.InputSerializer, request), acting_as(request)
        offering = offerings.get(data.pop("offering"))
        done = prices.set_price(offering=offering, by=by, approved_by=by, at=timezone.now(), **data)
        _settled()
        row = lists.prices(after=done.price.pk - 1, most=1)[0]
        answer = {
            "price": row,
            "written": done.written,
            "replaced": list(done.replaced),
            "example": prices.worked_example(prices={data["meter"]: data["usd_per_1m"]}),
        }
        made = status.HTTP_201_CREATED if done.written else status.HTTP_200_OK
        return Response(self.SetOutput(answer).data, status=made)
