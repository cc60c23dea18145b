"""REST for imports of files of events: read one, see what it holds and how far it is, confirm or drop it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.models import Gateway
from core import nudges
from core.access import Caller
from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import Invalid, NotFound
from usage.api_intake import format_settings, own_gateway
from usage.formats import FILE_FORMATS
from usage.models import ImportState
from usage.selectors import imports as selected
from usage.selectors.imports import ImportRow
from usage.services import imports
from usage.tasks import JOBS

_ROOM = 64 * 1024  # for the other parts of a form


class UsageImportGroupOutput(serializers.Serializer):
    use_case = serializers.CharField()
    model = serializers.CharField(help_text="The offering, or the name under which it would be made.")
    events = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    cost_usd = MoneyField(help_text="Of those that have a price, by the price book when the file was read.")
    unpriced = serializers.IntegerField(help_text="Unpriced events, those without token counts included.")


class UsageImportOutput(serializers.Serializer):
    id = serializers.IntegerField()
    gateway = serializers.CharField()
    environment = serializers.CharField()
    format = serializers.CharField()
    file_name = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the file as it was given.")
    state = serializers.ChoiceField(
        ImportState.choices,
        help_text="`reading`: if it broke off, it goes on when the same file is given again. `ready`: waits for a "
        "person.",
    )
    events = serializers.IntegerField()
    rejected = serializers.IntegerField(help_text="Items of the file that cannot become events.")
    first_at = InstantField(allow_null=True)
    last_at = InstantField(allow_null=True)
    covers = serializers.ListField(
        child=InstantField(), allow_null=True, help_text="The half-open range that was confirmed."
    )
    audit = serializers.BooleanField(help_text="Kept, and in no sum.")
    note = serializers.CharField()
    started_at = InstantField()
    started_by = serializers.CharField()
    confirmed_at = InstantField(allow_null=True)
    confirmed_by = serializers.CharField()
    finished_at = InstantField(allow_null=True)
    dropped_by = serializers.CharField()
    error = serializers.CharField()
    handled = serializers.IntegerField(help_text="Events whose outcome is known; of them:")
    booked = serializers.IntegerField()
    duplicates = serializers.IntegerField(help_text="Came before in the same import.")
    conflicts = serializers.IntegerField(help_text="With a known id and other content; kept for a look.")
    shadowed = serializers.IntegerField(help_text="Outside the range, or all of an import for audit: in no sum.")
    superseded = serializers.IntegerField(help_text="Another event counts in their place.")
    bodies_failed = serializers.IntegerField(help_text="Bodies of events that could not be booked.")


class UsageImportReasonOutput(serializers.Serializer):
    reason = serializers.CharField()
    items = serializers.IntegerField()


class UsageImportRejectionOutput(serializers.Serializer):
    index = serializers.IntegerField(help_text="Of the item in the file, from 0.")
    error = serializers.CharField()


class UsageImportDetailOutput(UsageImportOutput):
    options = serializers.DictField(help_text="Of a table: `columns` (field to column) and `zone`.")
    groups = UsageImportGroupOutput(many=True)
    unknown = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        help_text="Names that the catalogue did not know, with their events, by kind.",
    )
    reasons = UsageImportReasonOutput(many=True)
    rejections = UsageImportRejectionOutput(many=True, help_text="The first hundred rejected items.")


def _detail(row: ImportRow) -> dict[str, Any]:
    reasons = [{"reason": reason, "items": items} for reason, items in row.reasons]
    rejections = selected.rejections(import_id=row.id)
    return UsageImportDetailOutput({**vars(row), "reasons": reasons, "rejections": rejections}).data


def _found(request: Request, pk: int) -> ImportRow:
    row = selected.one(import_id=pk)
    own = own_gateway(request)
    if row is None or own not in (None, row.gateway_id):
        raise NotFound(f"There is no import {pk}.")
    return row


class UsageImportsApi(Api):
    """Files of events that were given."""

    actions: ClassVar[dict[str, str]] = {"GET": "receipts.read", "POST": "usage.send"}
    parser_classes = (MultiPartParser,)
    largest_body_bytes = settings.MAX_BODY_BYTES + _ROOM

    class QuerySerializer(PageQuery):
        pass

    class InputSerializer(serializers.Serializer):
        file = serializers.FileField(allow_empty_file=True, max_length=200, help_text="Plain, gzip or zstd.")
        format = serializers.ChoiceField([(name, one.title) for name, one in FILE_FORMATS.items()])
        gateway = serializers.CharField(required=False, help_text="The key's own where it is left out.")
        environment = serializers.CharField(required=False, default="production")
        options = serializers.JSONField(
            required=False,
            default=dict,
            help_text='Of a table: {"columns": {"time": "Created", "model": "Model"}, "zone": "Europe/Berlin"}. '
            "Columns that are left out are guessed by their names.",
        )

    @extend_schema(
        summary="Imports of files of events, the latest first", operation_id="usage_imports_list", tags=["usage"],
        responses=page_of(UsageImportOutput, "UsageImportPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int,))
        rows = selected.listed(before=cursor[0] if cursor else None, most=limit + 1, gateway_id=own_gateway(request))
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": UsageImportOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Read a file of events", operation_id="usage_imports_create", tags=["usage"],
        request={"multipart/form-data": InputSerializer}, responses={201: UsageImportDetailOutput},
        description="Reads the file and keeps its events; nothing is booked before the import is confirmed. The same "
        "file again is the same import, and goes on where reading broke off. Larger files are read with "
        "`manage.py import_usage`.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = body(self.InputSerializer, request)
        gateway = self._gateway(request, data.get("gateway", ""))
        options = data["options"]
        columns = options.get("columns", {}) if isinstance(options, dict) else None
        if not isinstance(columns, dict) or not all(isinstance(one, str) for one in columns.values()):
            raise Invalid("The options are no object.", [("options", 'An object with "columns" and "zone".')])
        import_id = imports.take_file(
            file=data["file"],
            file_name=data["file"].name,
            format=data["format"],
            gateway_id=gateway.pk,
            environment=data["environment"],
            options=options,
            settings=format_settings(gateway.settings),
            by=acting_as(request),
            clock=timezone.now,
            most_bytes=settings.MAX_BODY_BYTES,
        )
        return Response(_detail(_found(request, import_id)), status=status.HTTP_201_CREATED)

    @staticmethod
    def _gateway(request: Request, name: str) -> Gateway:
        own = own_gateway(request)
        if not name and isinstance(request.user, Caller):
            own = request.user.gateway_id or 0
        named = Gateway.objects.filter(name__iexact=name.strip()) if name else Gateway.objects.filter(pk=own or 0)
        gateway = named.first()
        if gateway is None or own not in (None, gateway.pk):
            raise Invalid("There is no such gateway for you.", [("gateway", "The name of a gateway that you may use.")])
        return gateway


class UsageImportApi(Api):
    """One import of a file of events."""

    actions: ClassVar[dict[str, str]] = {"GET": "receipts.read"}

    @extend_schema(
        summary="An import of a file of events, and how far it is", operation_id="usage_imports_retrieve",
        tags=["usage"], responses=UsageImportDetailOutput,
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return Response(_detail(_found(request, pk)))


class UsageImportConfirmApi(Api):
    """Have an import booked."""

    actions: ClassVar[dict[str, str]] = {"POST": "usage.send"}

    class InputSerializer(serializers.Serializer):
        audit = serializers.BooleanField(required=False, default=False, help_text="Keep it out of every sum.")
        note = serializers.CharField(required=False, allow_blank=True, default="", max_length=200)

        def get_fields(self) -> dict[str, Any]:
            since = InstantField(
                required=False, allow_null=True, help_text="Left out: the hour in which the first event happened."
            )
            until = InstantField(
                required=False, allow_null=True, help_text="Left out: the end of the hour of the last event."
            )
            return {"from": since, "to": until} | super().get_fields()

    @extend_schema(
        summary="Confirm an import", operation_id="usage_imports_confirm", tags=["usage"], request=InputSerializer,
        responses={202: UsageImportDetailOutput},
        description="Events outside the half-open range are kept aside, and so are live events inside of it that come "
        "later. Refused with 409 where the range holds counted entries of the gateway; for audit it is possible.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        _found(request, pk)
        data = body(self.InputSerializer, request)
        imports.confirm(
            import_id=pk, by=acting_as(request), at=timezone.now(), covers=(data.get("from"), data.get("to")),
            audit_only=data["audit"], note=data["note"],
        )  # fmt: skip
        nudges.nudge(JOBS, queue="background")
        return Response(_detail(_found(request, pk)), status=status.HTTP_202_ACCEPTED)


class UsageImportDropApi(Api):
    """Give an import up before anything of it is booked."""

    actions: ClassVar[dict[str, str]] = {"POST": "usage.send"}

    @extend_schema(
        summary="Drop an import", operation_id="usage_imports_drop", tags=["usage"], request=None,
        responses=UsageImportDetailOutput,
        description="Its events are deleted, and its file may be given again. Refused with 409 once it is confirmed.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        _found(request, pk)
        imports.drop(import_id=pk, by=acting_as(request), at=timezone.now())
        return Response(_detail(_found(request, pk)))


class UsageImportAgainApi(Api):
    """Go on with an import that stopped."""

    actions: ClassVar[dict[str, str]] = {"POST": "usage.send"}

    @extend_schema(
        summary="Go on with an import", operation_id="usage_imports_again", tags=["usage"], request=None,
        responses={202: UsageImportDetailOutput},
        description="Puts bodies of events that could not be booked in line again. 409 where nothing stopped.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        _found(request, pk)
        imports.again(import_id=pk, by=acting_as(request), at=timezone.now())
        nudges.nudge(JOBS, queue="background")
        return Response(_detail(_found(request, pk)), status=status.HTTP_202_ACCEPTED)
