"""REST for changes to the past: what they moved, how far their runs are, and what one would move before it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

from django.utils import timezone
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api_contracts import ContractsApi, own_price
from catalog.api_imports import PriceDecisionInput
from catalog.api_models import TIERS, ModelAliasesApi, ModelMergeApi
from catalog.api_names import TeamMergeApi, UseCaseMergeApi
from catalog.api_parts import one_of
from catalog.api_prices import PricesApi
from catalog.models import Meter, Offering, Team, UseCase
from catalog.services import aliases, contracts, imports, offerings, prices, teams, use_cases
from core import access, nudges
from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged, read_cursor, refusal
from core.api_views import Api
from core.errors import Conflict, NotFound
from usage.api_months import MonthField
from usage.selectors import corrections as selector
from usage.selectors.estimating import Effect, Estimate
from usage.services.restating.again import again
from usage.services.restating.previewing import preview
from usage.tasks import JOBS


class CorrectionOutput(serializers.Serializer):
    id = serializers.CharField(help_text="`a12` came of a change of the catalogue, `j34` of a price that arrived.")
    kind = serializers.ChoiceField(selector.KINDS)
    summary = serializers.CharField(help_text="What was changed.")
    state = serializers.ChoiceField(selector.STATES, help_text="`nothing`: no booked entry had to be corrected.")
    by = serializers.CharField()
    reason = serializers.CharField()
    at = InstantField()
    starts_at = InstantField(allow_null=True, help_text="The calls that it is about, by their own time.")
    ends_at = InstantField(allow_null=True)
    done = serializers.IntegerField(help_text="Entries looked at.")
    total = serializers.IntegerField(allow_null=True, help_text="Entries to look at; null before the run began.")
    entries = serializers.IntegerField(allow_null=True, help_text="Entries corrected; null before it is restated.")
    before_usd = MoneyField(allow_null=True, help_text="What the corrected entries cost before.")
    after_usd = MoneyField(allow_null=True)
    difference_usd = MoneyField(allow_null=True)
    unpriced_tokens_before = serializers.IntegerField(allow_null=True)
    unpriced_tokens_after = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(help_text="Of the last try, while that matters.")
    finished_at = InstantField(allow_null=True)


class SumsOutput(serializers.Serializer):
    entries = serializers.IntegerField()
    before_usd = MoneyField()
    after_usd = MoneyField()
    difference_usd = MoneyField()


class CorrectedMonthOutput(SumsOutput):
    month = MonthField()
    closed = serializers.BooleanField(help_text="What it lacked was booked in the open month.")


class CorrectedUseCaseOutput(SumsOutput):
    use_case = serializers.CharField()


class RecordedPriceOutput(serializers.Serializer):
    id = serializers.IntegerField()
    offering = serializers.CharField()
    meter = serializers.ChoiceField(Meter.choices)
    usd_per_1m = MoneyField()
    valid_from = InstantField(allow_null=True)
    valid_until = InstantField(allow_null=True)


class OneCorrectionOutput(CorrectionOutput):
    months = CorrectedMonthOutput(many=True, help_text="So far, while it runs.")
    use_cases = CorrectedUseCaseOutput(many=True)
    offerings = serializers.ListField(child=serializers.CharField())
    prices = RecordedPriceOutput(many=True, help_text="Prices that the change recorded.")


class CorrectionsApi(Api):
    """Changes to the past."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(selector.STATES, required=False)

    @extend_schema(
        summary="Changes to the past, newest first", operation_id="corrections_list", tags=["corrections"],
        responses=page_of(CorrectionOutput, "CorrectionPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (str, str, int))
        before = None
        if cursor:
            try:
                before = datetime.fromisoformat(cursor[0]).astimezone(UTC), cursor[1], cursor[2]
            except (ValueError, OverflowError) as error:  # the latter at either end of the calendar
                raise NotFound("There is no such page.") from error
        states = (self.query["state"],) if "state" in self.query else ()
        rows = selector.listed(states=states, before=before, most=limit + 1)
        page = paged(request, rows, limit=limit, key=_place)
        return Response(page | {"results": [_told(row) for row in page["results"]]})


class CorrectionApi(Api):
    """One change to the past."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="A change to the past", operation_id="corrections_retrieve", tags=["corrections"],
        responses=OneCorrectionOutput,
    )  # fmt: skip
    def get(self, request: Request, key: str) -> Response:
        return Response(_in_full(_found(key)))


class CorrectionAgainApi(Api):
    """Putting a run that failed in line again."""

    actions: ClassVar[dict[str, str]] = {"POST": "prices.approve"}

    @extend_schema(
        summary="Put a failed run in line again", operation_id="corrections_again", tags=["corrections"],
        request=None, responses=OneCorrectionOutput,
        description="It goes on where it stopped; nothing is booked twice. 409 where it has not failed.",
    )  # fmt: skip
    def post(self, request: Request, key: str) -> Response:
        found = _found(key)
        if found.row.job_id is None:
            raise Conflict("This run has not begun.")
        again(job_id=found.row.job_id, by=acting_as(request), at=timezone.now())
        nudges.nudge(JOBS, "background")
        return Response(_in_full(_found(key)))


def _place(row: selector.CorrectionRow) -> tuple[str, str, int]:
    at, letter, number = selector.place(row)
    return at.astimezone(UTC).isoformat(), letter, number


def _found(key: str) -> selector.Correction:
    found = selector.one(key)
    if found is None:
        raise NotFound(f"There is no correction {key}.")
    return found


def _told(row: selector.CorrectionRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _FIELDS} | {
        "id": row.key,
        "unpriced_tokens_before": row.unpriced_before,
        "unpriced_tokens_after": row.unpriced_after,
    }
    return dict(CorrectionOutput(values).data)


_RENAMED = {"id", "unpriced_tokens_before", "unpriced_tokens_after"}
_FIELDS = [str(name) for name in CorrectionOutput().fields if name not in _RENAMED]


def _in_full(found: selector.Correction) -> dict[str, Any]:
    def sums(one: selector.Sums) -> dict[str, Any]:
        return {**asdict(one), "difference_usd": one.difference_usd}

    months = [{"month": one.month, "closed": one.closed, **sums(one.sums)} for one in found.months]
    names = [{"use_case": one.name, **sums(one.sums)} for one in found.use_cases]
    recorded = [{"offering": one.name, **asdict(price)} for one in found.offerings for price in one.prices]
    return _told(found.row) | {
        "months": CorrectedMonthOutput(months, many=True).data,
        "use_cases": CorrectedUseCaseOutput(names, many=True).data,
        "offerings": [one.name for one in found.offerings],
        "prices": RecordedPriceOutput(recorded, many=True).data,
    }


# --- what a change would do ---


class Changed(serializers.Serializer):
    """What every change that can be looked at beforehand has besides its own fields."""

    change = serializers.CharField()


class PriceChange(PricesApi.InputSerializer, Changed):
    """As for `POST prices`."""


class ContractChange(ContractsApi.InputSerializer, Changed):
    """As for `POST contracts`."""


class TierChange(Changed):
    """As for `PATCH models/{id}`."""

    id = serializers.IntegerField(help_text="Of the model at a provider, as in `GET models`.")
    tier = serializers.ChoiceField([(name, name) for name in TIERS])
    tier_since = InstantField(required=False, help_text="Now, where not given.")
    reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class AliasChange(ModelAliasesApi.InputSerializer, Changed):
    """As for `POST models/{id}/aliases`."""

    id = serializers.IntegerField(help_text="Of the model at a provider that the name is to mean.")


class RegionChange(Changed):
    """As for `PATCH models/{id}`."""

    id = serializers.IntegerField(help_text="Of the model at a provider.")
    region = serializers.CharField(max_length=32, allow_blank=True, help_text="Where it has always been.")
    reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class ModelMerge(ModelMergeApi.InputSerializer, Changed):
    """As for `POST models/{id}/merge`."""

    id = serializers.IntegerField(help_text="Of the model at a provider that goes.")


class UseCaseMerge(UseCaseMergeApi.InputSerializer, Changed):
    """As for `POST use-cases/{id}/merge`."""

    id = serializers.IntegerField(help_text="Of the use case that goes.")


class TeamMerge(TeamMergeApi.InputSerializer, Changed):
    """As for `POST teams/{id}/merge`."""

    id = serializers.IntegerField(help_text="Of the team that goes.")


class ProposalsChange(PriceDecisionInput, Changed):
    """As for `POST price-proposals/accept`."""


class EffectOutput(serializers.Serializer):
    entries = serializers.IntegerField(help_text="Entries that would be corrected.")
    tokens = serializers.IntegerField()
    before_usd = MoneyField()
    after_usd = MoneyField()
    difference_usd = MoneyField()
    unpriced_tokens_before = serializers.IntegerField()
    unpriced_tokens_after = serializers.IntegerField()


class MonthEffectOutput(EffectOutput):
    month = MonthField()
    closed = serializers.BooleanField(help_text="It would be booked in the open month.")


class UseCaseEffectOutput(EffectOutput):
    use_case = serializers.CharField()


class EstimateOutput(serializers.Serializer):
    changes = serializers.ListField(child=serializers.CharField(), help_text="Of the past, in words.")
    total = EffectOutput()
    months = MonthEffectOutput(many=True)
    use_cases = UseCaseEffectOutput(many=True, help_text="Largest difference first.")


Make = Callable[[dict[str, Any], str, datetime], object]


def _price(data: dict[str, Any], by: str, at: datetime) -> object:
    offering = offerings.get(data.pop("offering"))
    return prices.set_price(offering=offering, by=by, approved_by=by, at=at, **data)


def _contract(data: dict[str, Any], by: str, at: datetime) -> object:
    own = [own_price(each, of=data) for each in data.pop("own_prices", ())]
    if "offering" in data:
        data["offering"] = offerings.get(data["offering"])
    return contracts.set_terms(own_prices=own, by=by, approved_by=by, at=at, **data)


def _tier(data: dict[str, Any], by: str, at: datetime) -> object:
    return offerings.set_tier(
        offering=_one(Offering, "offering", data["id"]), tier=TIERS[data["tier"]],
        since_at=data.get("tier_since", at), by=by, reason=data["reason"], at=at,
    )  # fmt: skip


def _region(data: dict[str, Any], by: str, at: datetime) -> object:
    offering = _one(Offering, "offering", data["id"])
    return offerings.change(offering=offering, region=data["region"], by=by, at=at, reason=data["reason"])


def _alias(data: dict[str, Any], by: str, at: datetime) -> object:
    return aliases.assign(
        name=data["name"], offering=_one(Offering, "offering", data["id"]), by=by, since_at=data.get("since", at),
        until=data.get("until"), reason=data["reason"], at=at,
    )  # fmt: skip


def _merge_offering(data: dict[str, Any], by: str, at: datetime) -> object:
    return offerings.merge(
        offering=_one(Offering, "offering", data["id"]), into=offerings.get(data["into"]),
        since_at=data.get("since", at), by=by, at=at, reason=data["reason"],
    )  # fmt: skip


def _merge_use_case(data: dict[str, Any], by: str, at: datetime) -> object:
    return use_cases.merge(
        use_case=_one(UseCase, "use case", data["id"]), into=use_cases.get(data["into"]),
        since_at=data.get("since", at), by=by, at=at, reason=data["reason"],
    )  # fmt: skip


def _merge_team(data: dict[str, Any], by: str, at: datetime) -> object:
    return teams.merge(
        team=_one(Team, "team", data["id"]), into=teams.get(data["into"]), since_at=data.get("since", at), by=by, at=at,
        reason=data["reason"],
    )  # fmt: skip


def _proposals(data: dict[str, Any], by: str, at: datetime) -> object:
    return imports.apply(proposal_ids=data["ids"], by=by, at=at, reason=data["reason"])


def _one(kind: Any, what: str, pk: int) -> Any:
    return one_of(list(kind.objects.filter(pk=pk)), what, pk)


class _Change(NamedTuple):
    """A change that can be looked at: the action that making it needs, what it takes, and how it is made."""

    action: str
    takes: type[serializers.Serializer]
    make: Make


CHANGES: dict[str, _Change] = {
    "price": _Change("prices.approve", PriceChange, _price),
    "contract": _Change("prices.approve", ContractChange, _contract),
    "proposals": _Change("prices.approve", ProposalsChange, _proposals),
    "tier": _Change("catalog.edit", TierChange, _tier),
    "alias": _Change("catalog.edit", AliasChange, _alias),
    "region": _Change("catalog.edit", RegionChange, _region),
    "merge_offering": _Change("catalog.edit", ModelMerge, _merge_offering),
    "merge_use_case": _Change("catalog.edit", UseCaseMerge, _merge_use_case),
    "merge_team": _Change("catalog.edit", TeamMerge, _merge_team),
}


class CorrectionPreviewApi(Api):
    """What a change would do to the past. Beside `view` it asks for the action that the change itself needs."""

    actions: ClassVar[dict[str, str]] = {"POST": "view"}

    @extend_schema(
        summary="What a change would do to the past", operation_id="corrections_preview", tags=["corrections"],
        request=PolymorphicProxySerializer(
            component_name="Change", resource_type_field_name="change",
            serializers={name: one.takes for name, one in CHANGES.items()},
        ),
        responses=EstimateOutput,
        description="Makes the change, sums what restating would come to, and takes the change back: nothing of it is "
        "seen by others. Takes the fields of the call that makes the change, and refuses what that refuses.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        named = request.data.get("change") if isinstance(request.data, dict) else None
        change = CHANGES.get(named) if isinstance(named, str) else None
        if change is None:
            raise exceptions.ValidationError({"change": [f"Known are {', '.join(CHANGES)}."]})
        if not access.may(request.user, change.action):
            raise exceptions.PermissionDenied(refusal(request.user, change.action))
        data, by, now = body(change.takes, request), acting_as(request), timezone.now()
        data.pop("change")
        return Response(_estimated(preview(lambda: change.make(data, by, now), at=now)))


def _estimated(found: Estimate) -> dict[str, Any]:
    answer = {
        "changes": list(found.summaries),
        "total": _effect(found.total),
        "months": [{"month": one.month, "closed": one.closed, **_effect(one.effect)} for one in found.months],
        "use_cases": [{"use_case": name, **_effect(effect)} for name, effect in found.use_cases],
    }
    return dict(EstimateOutput(answer).data)


def _effect(one: Effect) -> dict[str, Any]:
    return {
        "entries": one.entries,
        "tokens": one.tokens,
        "before_usd": one.before_usd,
        "after_usd": one.after_usd,
        "difference_usd": one.difference_usd,
        "unpriced_tokens_before": one.unpriced_before,
        "unpriced_tokens_after": one.unpriced_after,
    }
