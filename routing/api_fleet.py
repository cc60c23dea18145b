"""REST for the fleet: which gateways run which rules, who is late, who refuses and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import BadQuery, InstantField, PageQuery, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import NotFound
from routing.selectors import environments, fleet
from routing.selectors.fleet import Standing

_STATE = (
    "`refused`: it cannot run a version. `behind`: more than a minute after something newer it still said that it runs "
    "what was before. `unheard`: no poll for five minutes. `updating`, `unsaid`, `waiting` (no rules are in force), "
    "`current`, and `gone`: others of its gateway were heard of an hour after it."
)
_MOST_ID = 2**63 - 1


class FleetCountsOutput(serializers.Serializer):
    refused = serializers.IntegerField()
    behind = serializers.IntegerField()
    unheard = serializers.IntegerField()
    updating = serializers.IntegerField()
    unsaid = serializers.IntegerField()
    waiting = serializers.IntegerField()
    current = serializers.IntegerField()
    gone = serializers.IntegerField()


class FleetVersionOutput(serializers.Serializer):
    version = serializers.IntegerField(allow_null=True, help_text="Null: they do not say what they run.")
    instances = serializers.IntegerField()


class FleetGatewayOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    state = serializers.ChoiceField(fleet.STATES, help_text="The worst of its instances that are heard of.")
    instances = FleetCountsOutput()
    versions = FleetVersionOutput(many=True)
    clients = serializers.ListField(child=serializers.CharField())
    last_polled_at = InstantField()
    behind_since = InstantField(allow_null=True)
    refused_version = serializers.IntegerField(allow_null=True)


class NeverAskedOutput(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    key_used_at = InstantField(allow_null=True, help_text="When any of its keys with rules:read was last used.")


class RefusalOutput(serializers.Serializer):
    gateway = serializers.CharField()
    version = serializers.IntegerField()
    instances = serializers.IntegerField()
    reasons = serializers.ListField(child=serializers.CharField(), help_text="In the gateway's words.")
    running = serializers.ListField(
        child=serializers.IntegerField(allow_null=True), help_text="What the instances go on with; null: no rules."
    )


class FleetOutput(serializers.Serializer):
    environment = serializers.CharField()
    live_version = serializers.IntegerField(allow_null=True)
    live_since = InstantField(allow_null=True)
    heard = serializers.IntegerField(help_text="Instances that are heard of.")
    running = serializers.IntegerField(help_text="Those of them that run the version in force.")
    instances = FleetCountsOutput()
    versions = FleetVersionOutput(many=True)
    gateways = FleetGatewayOutput(many=True)
    refusals = RefusalOutput(many=True)
    never_asked = NeverAskedOutput(many=True, help_text="They have a key with rules:read, are to poll, and did not.")


class InstanceOutput(serializers.Serializer):
    gateway_id = serializers.IntegerField()
    gateway = serializers.CharField()
    name = serializers.CharField(help_text="Empty: it names none.")
    state = serializers.ChoiceField(fleet.STATES, help_text=_STATE)
    version = serializers.IntegerField(allow_null=True, help_text="What it runs, by its own word.")
    revision = serializers.IntegerField(allow_null=True)
    given_version = serializers.IntegerField(allow_null=True)
    given_revision = serializers.IntegerField(allow_null=True)
    polled_at = InstantField()
    refused_version = serializers.IntegerField(allow_null=True)
    refused_revision = serializers.IntegerField(allow_null=True)
    refused_reason = serializers.CharField()
    spec = serializers.IntegerField(allow_null=True, help_text="The newest specification that it understands.")
    client = serializers.CharField()


class FleetApi(Api):
    """Who runs which rules in an environment, by the gateways' own word."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="The fleet", operation_id="fleet_retrieve", tags=["rules"], responses=FleetOutput, description=_STATE
    )
    def get(self, request: Request, environment: str) -> Response:
        now = timezone.now()
        row = environments.one(name=environment)
        found = fleet.of(environment=environment, at=now)
        if row is None and not found.gateways:
            raise NotFound(f"There is no environment {environment}.")
        told = {
            "environment": environment,
            "live_version": row.live_version if row else None,
            "live_since": found.live_since,
            "heard": found.heard,
            "running": found.running,
            "instances": {state: found.of(state) for state in fleet.STATES},
            "versions": [{"version": number, "instances": count} for number, count in found.versions],
            "gateways": [_gateway(one) for one in found.gateways],
            "refusals": fleet.refusals(at=now, environment=environment) if found.of(fleet.REFUSED) else [],
            "never_asked": [
                {"id": one.gateway_id, "name": one.gateway, "key_used_at": one.key_used_at} for one in found.never
            ],
        }
        return Response(FleetOutput(told).data)


class FleetInstancesApi(Api):
    """Every instance that asks for an environment's rules, by gateway and name."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        gateway_id = serializers.IntegerField(required=False, min_value=1, max_value=_MOST_ID)
        state = serializers.ChoiceField(fleet.STATES, required=False)

    @extend_schema(
        summary="Instances of the fleet", operation_id="fleet_instances_list", tags=["rules"],
        responses=page_of(InstanceOutput, "FleetInstancePage"), description=_STATE,
    )  # fmt: skip
    def get(self, request: Request, environment: str) -> Response:
        cursor = read_cursor(self.query.get("after"), (int, str))
        if cursor is not None and (not 0 <= cursor[0] <= _MOST_ID or "\x00" in cursor[1]):
            raise BadQuery("after: take it from `next` as it is.", [("after", "not a page of this list")])
        rows = fleet.instances(
            at=timezone.now(),
            environment=environment,
            gateway_id=self.query.get("gateway_id"),
            state=self.query.get("state"),
            after=None if cursor is None else (cursor[0], cursor[1]),
            limit=self.query["limit"] + 1,
        )
        page = paged(request, rows, limit=self.query["limit"], key=lambda row: (row.gateway_id, row.name))
        return Response(page | {"results": InstanceOutput(page["results"], many=True).data})


def _gateway(one: Standing) -> Mapping[str, Any]:
    return {
        "id": one.gateway_id,
        "name": one.gateway,
        "state": one.state,
        "instances": {state: one.of(state) for state in fleet.STATES},
        "versions": [{"version": number, "instances": count} for number, count in one.versions.items()],
        "clients": one.clients,
        "last_polled_at": one.polled_at,
        "behind_since": one.late_since,
        "refused_version": one.refused,
    }
