"""REST for imports of prices, and for deciding on what they propose."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.api_parts import one_of, settled
from catalog.models import Meter, ProposalKind, ProposalState
from catalog.selectors import proposals
from catalog.services import imports
from core.api import InstantField, MoneyField, PageQuery, acting_as, body, page_of, paged, read_cursor
from core.api_views import Api

LARGEST_TABLE_BYTES = 20_000_000  # LiteLLM's has 3.5 million


class HoursOutput(serializers.Serializer):
    zone = serializers.CharField()
    weekdays = serializers.ListField(child=serializers.IntegerField(), help_text="On which they begin, Monday is 0.")
    starts = serializers.TimeField()
    ends = serializers.TimeField(help_text="Past midnight, if not after `starts`.")


class PriceLineOutput(serializers.Serializer):
    what = serializers.CharField(help_text="What the price is for, in words.")
    meter = serializers.ChoiceField(Meter.choices)
    context_over = serializers.IntegerField(allow_null=True)
    context_inclusive = serializers.BooleanField()
    service_tier = serializers.CharField()
    region = serializers.CharField()
    hours = HoursOutput(allow_null=True)
    usd_per_1m = MoneyField(
        allow_null=True,
        help_text="What the table says, USD per million units. Null: it does not name this price; where it `differs`, "
        "the price ends with acceptance.",
    )
    valid_from = InstantField(allow_null=True, help_text="Null: from acceptance on.")
    valid_until = InstantField(allow_null=True)
    book_usd_per_1m = MoneyField(allow_null=True, help_text="What the book says; null where it has no such price.")
    book_price_id = serializers.IntegerField(allow_null=True)
    book_source = serializers.CharField(allow_null=True)
    others = serializers.DictField(child=MoneyField(), help_text="What the newest tables of other sources say.")
    differs = serializers.BooleanField(help_text="Whether acceptance would change it.")
    disputed = serializers.BooleanField(help_text="Whether another source says otherwise by more than 1 per cent.")
    note = serializers.CharField()
    source_url = serializers.CharField()


class PriceProposalOutput(serializers.Serializer):
    id = serializers.IntegerField()
    import_id = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]  # every field has an attribute of that name
    source_version = serializers.CharField()
    imported_at = InstantField()
    kind = serializers.ChoiceField(ProposalKind.choices)
    offering = serializers.CharField(help_text="model@provider, the name it would get where it is new.")
    offering_id = serializers.IntegerField(allow_null=True)
    disputed = serializers.BooleanField(help_text="Whether another source says otherwise by more than 1 per cent.")
    state = serializers.ChoiceField(ProposalState.choices)
    summary = serializers.CharField(help_text="What accepting it would do.")
    settled_by = serializers.CharField()
    settled_at = InstantField(allow_null=True)
    lines = PriceLineOutput(many=True, help_text="All prices of the offering, those that stand as they are too.")


class PriceImportProblemOutput(serializers.Serializer):
    name = serializers.CharField()
    problem = serializers.CharField()


class PriceImportOutput(serializers.Serializer):
    id = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    version = serializers.CharField()
    file_name = serializers.CharField()
    digest = serializers.CharField(help_text="SHA-256 of what was read.")
    models = serializers.IntegerField(help_text="How many models the table names.")
    problems = serializers.IntegerField(help_text="How many names could not be read in full.")
    by = serializers.CharField()
    at = InstantField()
    proposals = serializers.IntegerField()
    open = serializers.IntegerField(help_text="Proposals that wait for a person.")
    counts = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()), help_text="Proposals by kind and state."
    )


class PriceImportDetailOutput(PriceImportOutput):
    problems = PriceImportProblemOutput(many=True, help_text="What could not be read in full, and why.")  # type: ignore[assignment]


class PriceImportsApi(Api):
    """Readings of tables of prices that brought proposals."""

    actions: ClassVar[dict[str, str]] = {"GET": "view", "POST": "prices.edit"}
    parser_classes = (JSONParser, MultiPartParser)
    largest_body_bytes = LARGEST_TABLE_BYTES

    class QuerySerializer(PageQuery):
        pass

    class InputSerializer(serializers.Serializer):
        file = serializers.FileField(
            required=False, allow_empty_file=True, help_text="The table, of litellm (JSON) and csv."
        )
        accept_shrunk = serializers.BooleanField(
            required=False, default=False, help_text="Read a table that lists far fewer models than before."
        )

        def get_fields(self) -> dict[str, Any]:
            source = serializers.ChoiceField(
                imports.SOURCES, help_text="`genai-prices` is read from the installed package and takes no file."
            )
            return {"from": source} | super().get_fields()  # a word that Python keeps for itself

    class ResultOutput(serializers.Serializer):
        import_id = serializers.IntegerField(allow_null=True, help_text="Null: nothing new to decide on.")
        source = serializers.CharField()  # type: ignore[assignment]
        version = serializers.CharField()
        models = serializers.IntegerField(help_text="How many models the table names.")
        offerings = serializers.IntegerField(help_text="How many have prices in it.")
        new = serializers.IntegerField()
        changed = serializers.IntegerField()
        gone = serializers.IntegerField()
        disputed = serializers.IntegerField()
        waiting = serializers.IntegerField(help_text="Proposals of before that say the same and are open still.")
        settled = serializers.IntegerField(help_text="Differences that were decided on before.")
        replaced = serializers.IntegerField(help_text="Proposals of before that the table does not say any more.")
        problems = serializers.IntegerField(help_text="How many names could not be read in full.")

    @extend_schema(
        summary="Imports of prices, the latest first", operation_id="price_imports_list", tags=["catalogue"],
        responses=page_of(PriceImportOutput, "PriceImportPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (int,))
        rows = proposals.imports(before=cursor[0] if cursor else None, most=limit + 1)
        page = paged(request, rows, limit=limit, key=lambda row: (row.id,))
        return Response(page | {"results": PriceImportOutput(page["results"], many=True).data})

    @extend_schema(
        summary="Import a table of prices", operation_id="price_imports_create", tags=["catalogue"],
        request={"multipart/form-data": InputSerializer, "application/json": InputSerializer},
        responses={200: ResultOutput, 201: ResultOutput},
        description="Compares the table with the price book and proposes what differs; prices nothing. A table that "
        "shrank by more than a tenth is refused whole with 409, a malformed one with 400, one in other units with 422. "
        "Safe to repeat: the same table again proposes nothing and answers 200.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = body(self.InputSerializer, request)
        file = data.get("file")
        table = imports.read(source=data["from"], content=file.read() if file is not None else None)
        done = imports.propose(
            table=table,
            file_name=file.name if file is not None else "",
            by=acting_as(request),
            at=timezone.now(),
            accept_shrunk=data["accept_shrunk"],
        )
        made = status.HTTP_200_OK if done.import_id is None else status.HTTP_201_CREATED
        return Response(self.ResultOutput({**vars(done), "problems": len(done.problems)}).data, status=made)


class PriceImportApi(Api):
    """One reading of a table of prices."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    @extend_schema(
        summary="An import of prices, with what could not be read", operation_id="price_imports_retrieve",
        tags=["catalogue"], responses=PriceImportDetailOutput,
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        row = one_of(proposals.imports(only=pk), "import of prices", pk)
        return Response(PriceImportOutput(row).data | {
            "problems": PriceImportProblemOutput(proposals.problems(of_import=pk), many=True).data
        })  # fmt: skip


class PriceProposalsApi(Api):
    """What imports propose: one proposal for each offering of which a table says something else than the book."""

    actions: ClassVar[dict[str, str]] = {"GET": "view"}

    class QuerySerializer(PageQuery):
        state = serializers.ChoiceField(ProposalState.choices, required=False)
        kind = serializers.ChoiceField(ProposalKind.choices, required=False)
        source = serializers.ChoiceField(imports.SOURCES, required=False)  # type: ignore[assignment]
        search = serializers.CharField(required=False, max_length=193, help_text="A part of the offering's name.")
        disputed = serializers.BooleanField(required=False, allow_null=True, default=None)

        def get_fields(self) -> dict[str, Any]:
            of_import = serializers.IntegerField(
                required=False, min_value=1, max_value=2**63 - 1, help_text="Id of an import."
            )
            return {"import": of_import} | super().get_fields()

    @extend_schema(
        summary="Proposals of prices", operation_id="price_proposals_list", tags=["catalogue"],
        responses=page_of(PriceProposalOutput, "PriceProposalPage"),
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        limit, cursor = self.query["limit"], read_cursor(self.query.get("after"), (str, int))
        rows = proposals.proposals(
            of_import=self.query.get("import"),
            state=self.query.get("state", ""),
            kind=self.query.get("kind", ""),
            source=self.query.get("source", ""),
            search=self.query.get("search", ""),
            disputed=self.query["disputed"],
            after=(cursor[0], cursor[1]) if cursor else None,
            most=limit + 1,
        )
        page = paged(request, rows, limit=limit, key=lambda row: (row.offering, row.id))
        return Response(page | {"results": PriceProposalOutput(page["results"], many=True).data})


class PriceDecisionInput(serializers.Serializer):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        min_length=1,
        max_length=imports.MOST_AT_ONCE,
        help_text="Ids of proposals.",
    )
    reason = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class PriceDecisionOutput(serializers.Serializer):
    proposals = serializers.IntegerField()
    offerings = serializers.ListField(child=serializers.CharField())
    prices_set = serializers.IntegerField()
    prices_ended = serializers.IntegerField(help_text="Prices of offerings that their source lists no more.")


class PriceProposalsAcceptApi(Api):
    """Putting proposed prices in force."""

    actions: ClassVar[dict[str, str]] = {"POST": "prices.approve"}

    @extend_schema(
        summary="Accept proposals of prices", operation_id="price_proposals_accept", tags=["catalogue"],
        request=PriceDecisionInput, responses=PriceDecisionOutput,
        description="All or none. 409 where one is settled already or the book has changed since the import. What "
        "waits for these prices is priced, and what they change of the past is restated in the background.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = body(PriceDecisionInput, request)
        done = imports.accept(proposal_ids=data["ids"], by=acting_as(request), at=timezone.now(), reason=data["reason"])
        settled()
        return Response(PriceDecisionOutput(done).data)


class PriceProposalsRejectApi(Api):
    """Saying no to proposed prices."""

    actions: ClassVar[dict[str, str]] = {"POST": "prices.approve"}

    @extend_schema(
        summary="Reject proposals of prices", operation_id="price_proposals_reject", tags=["catalogue"],
        request=PriceDecisionInput, responses=PriceDecisionOutput,
        description="All or none. They are not proposed again while the table says the same.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        data = body(PriceDecisionInput, request)
        done = imports.reject(proposal_ids=data["ids"], by=acting_as(request), at=timezone.now(), reason=data["reason"])
        return Response(PriceDecisionOutput(done).data)
