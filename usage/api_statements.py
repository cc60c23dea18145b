"""REST for providers' statements, and for what they say beside the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api
from core.errors import Invalid, NotFound
from usage.selectors import compared, comparing
from usage.selectors import statements as selector
from usage.selectors.compared import Pair, Row
from usage.selectors.statements import MEASURES
from usage.services import statements
from usage.statements import FORMATS

EDIT = "prices.edit"  # finance and platform, as for tables of prices from outside
_FORMAT_NAMES = [(name, name) for name in FORMATS]


class StatementOutput(serializers.Serializer):
    id = serializers.IntegerField()
    format = serializers.ChoiceField(_FORMAT_NAMES)
    provider = serializers.CharField()
    account = serializers.CharField()
    gateway = serializers.CharField(allow_null=True)
    file_name = serializers.CharField()
    first_day = serializers.DateField(help_text="Days are UTC days.")
    last_day = serializers.DateField(help_text="Included.")
    partial_days = serializers.ListField(
        child=serializers.DateField(), help_text="Days of it that it does not hold whole; they are never compared."
    )
    counting_days = serializers.IntegerField(help_text="Whole days of it that no newer file took over.")
    notes = serializers.ListField(child=serializers.CharField())
    lines = serializers.IntegerField()
    imported_at = InstantField()
    imported_by = serializers.CharField()
    withdrawn_at = InstantField(allow_null=True)
    withdrawn_by = serializers.CharField()
    withdrawn_why = serializers.CharField()


class StatementsApi(Api):
    """Exports of providers, as they were imported."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": EDIT}
    parser_classes = (MultiPartParser,)
    largest_body_bytes = statements.LARGEST_FILE_BYTES + 65_536

    class QuerySerializer(PageQuery):
        pass

    class InputSerializer(serializers.Serializer):
        file = serializers.FileField(allow_empty_file=True, help_text="The export, as the provider gave it.")
        format = serializers.ChoiceField(_FORMAT_NAMES)
        account = serializers.CharField(
            required=False, default="", allow_blank=True, max_length=statements.MOST_ACCOUNT_CHARACTERS,
            help_text="Whose bill it is, where there are several with one provider.",
        )  # fmt: skip
        gateway = serializers.CharField(
            required=False, default="", allow_blank=True, max_length=128,
            help_text="The gateway through which alone this account is used.",
        )  # fmt: skip

    class ResultOutput(serializers.Serializer):
        id = serializers.IntegerField()
        known = serializers.BooleanField(help_text="The same file is here already, and nothing changed.")
        format = serializers.ChoiceField(_FORMAT_NAMES)
        account = serializers.CharField()
        first_day = serializers.DateField()
        last_day = serializers.DateField()
        lines = serializers.IntegerField()
        partial_days = serializers.ListField(child=serializers.DateField())
        replaced_days = serializers.IntegerField(help_text="Whole days that an earlier file of the account holds too.")
        notes = serializers.ListField(child=serializers.CharField())

    @extend_schema(
        summary="Providers' statements, the latest first", operation_id="statements_list", tags=["usage"],
        responses=page_of(StatementOutput, "StatementPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int,))
        rows = selector.files(before=cursor[0] if cursor else None, most=limit + 1)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": StatementOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Import a provider's statement", operation_id="statements_create", tags=["usage"],
        request={"multipart/form-data": InputSerializer}, responses={200: ResultOutput, 201: ResultOutput},
        description="Takes in an export of sums by day. It is in no total: it is set beside the ledger. A newer export "
        "of the same account takes the place of the days that it holds too. Safe to repeat: the same file answers 200 "
        "and changes nothing. One that cannot be read is refused whole with 400, one in another currency or of another "
        "kind with 422.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = body(self.InputSerializer, request)
        file = data.pop("file")
        done = statements.import_file(
            content=file.read(), file_name=file.name, by=acting_as(request), at=timezone.now(), **data
        )
        made = status.HTTP_200_OK if done.known else status.HTTP_201_CREATED
        return Response(self.ResultOutput(done).data, status=made)


class StatementApi(Api):
    """One statement."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="One provider's statement", operation_id="statements_retrieve", tags=["usage"],
        responses=StatementOutput,
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return Response(StatementOutput(_one(pk)).data)


class StatementWithdrawApi(Api):
    """A statement that shall count no more."""

    actions: ClassVar[dict[str, str]] = {"POST": EDIT}
    parser_classes = (JSONParser,)

    class InputSerializer(serializers.Serializer):
        reason = serializers.CharField(max_length=200)

    @extend_schema(
        summary="Withdraw a statement", operation_id="statements_withdraw", tags=["usage"],
        request=InputSerializer, responses=StatementOutput,
        description="It counts no more, and what came before it for its days counts again. Its lines stay. Answers "
        "409 where it was withdrawn before.",
    )  # fmt: skip
    def post(self, request: Request, pk: int) -> Response:
        data = body(self.InputSerializer, request)
        statements.withdraw(file_id=pk, reason=data["reason"], by=acting_as(request), at=timezone.now())
        return Response(StatementOutput(_one(pk)).data)


def _one(pk: int) -> selector.FileRow:
    found = selector.files(only=pk)
    if not found:
        raise NotFound(f"There is no statement {pk}.")
    return found[0]


class TokensPairOutput(serializers.Serializer):
    """A measure of both sides. Null: the export does not tell it, or the day is not compared."""

    provider = serializers.IntegerField(allow_null=True)
    ours = serializers.IntegerField(allow_null=True)
    difference = serializers.IntegerField(allow_null=True, help_text="Ours less the provider's.")
    percent = serializers.FloatField(allow_null=True, help_text="Of what the provider says.")


class CostPairOutput(serializers.Serializer):
    """Cost of both sides, in USD. Null: there is no cost export, or the day is not compared."""

    provider = MoneyField(allow_null=True)
    ours = MoneyField(allow_null=True)
    difference = MoneyField(allow_null=True, help_text="Ours less the provider's.")
    percent = serializers.FloatField(allow_null=True, help_text="Of what the provider says.")


class FiguresOutput(serializers.Serializer):
    input_tokens = TokensPairOutput(help_text="Cached input included.")
    cache_read_tokens = TokensPairOutput()
    cache_write_tokens = TokensPairOutput()
    output_tokens = TokensPairOutput()
    requests = TokensPairOutput()
    cost_usd = CostPairOutput()


class DifferenceReasonOutput(serializers.Serializer):
    code = serializers.CharField()
    text = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()


class ReconciledRowOutput(FiguresOutput):
    provider = serializers.CharField()
    model = serializers.CharField(help_text="Empty: what the statement gives to no model.")
    offering = serializers.CharField(help_text="Empty where the catalogue has none.")
    day = serializers.DateField(allow_null=True, help_text="A UTC day; null by model.")
    names = serializers.ListField(child=serializers.CharField(), help_text="What the provider calls it.")
    suggestion = serializers.CharField(help_text="The offering that an unknown name probably means.")
    list_cost_usd = MoneyField(allow_null=True, help_text="Ours at list prices.")
    state = serializers.ChoiceField([(name, name) for name in compared.STATES])
    reasons = DifferenceReasonOutput(many=True)


class ReconciliationApi(Api):
    """What providers say beside what the ledger says."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(serializers.Serializer):
        def get_fields(self) -> dict[str, Any]:
            first = serializers.DateField(help_text="The first UTC day.")
            return {"from": first} | super().get_fields()  # a word that Python keeps for itself

        to = serializers.DateField(help_text="The UTC day after the last.")
        provider = serializers.ChoiceField(
            sorted({one.provider for one in FORMATS.values()}), required=False, default=""
        )
        model = serializers.CharField(required=False, max_length=193, help_text="As rows have it.")
        by = serializers.ChoiceField([(name, name) for name in compared.BY], required=False, default="model")
        tolerance = serializers.DecimalField(
            max_digits=6, decimal_places=3, min_value=0, max_value=100, required=False,
            default=compared.USUAL_TOLERANCE, help_text="Per cent of what the provider says.",
        )  # fmt: skip

    class ReconciliationOutput(serializers.Serializer):
        def get_fields(self) -> dict[str, Any]:
            return {"from": serializers.DateField()} | super().get_fields()

        to = serializers.DateField(help_text="Not included.")
        tolerance = serializers.CharField()
        state = serializers.ChoiceField([(name, name) for name in compared.STATES])
        rows = ReconciledRowOutput(many=True)
        total = FiguresOutput()
        reasons = DifferenceReasonOutput(many=True)

    @extend_schema(
        summary="Providers' statements against the ledger", operation_id="reconciliation", tags=["usage"],
        responses=ReconciliationOutput,
        description="By model or by UTC day. Both sides are of the same days: those that every "
        "export of a kind holds whole; tokens come from usage exports, costs from cost exports.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        query = dict(self.query)
        first, until = query.pop("from"), query.pop("to")
        if until <= first:
            raise Invalid("The range is empty.", [("to", "Give the day after the last, later than `from`.")])
        found = comparing.reconcile(first=first, last=until - timedelta(days=1), at=timezone.now(), **query)
        answer = {
            "from": found.first,
            "to": found.last + timedelta(days=1),
            "tolerance": str(found.tolerance),
            "state": found.state,
            "rows": [_row(row) for row in found.rows],
            "total": {name: _pair(found.total[name]) for name in MEASURES},
            "reasons": [vars(reason) for reason in found.reasons],
        }
        return Response(self.ReconciliationOutput(answer).data)


def _row(row: Row) -> dict[str, Any]:
    return {**vars(row), **{name: _pair(row.figures[name]) for name in MEASURES}}


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "provider": pair.theirs,
        "ours": pair.ours,
        "difference": pair.difference,
        "percent": None if pair.share is None else round(float(pair.share) * 100, 4),
    }
