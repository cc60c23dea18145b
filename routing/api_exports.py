"""`GET rules/{environment}/export`: the rules in force, in the form of a gateway that does not poll for them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.services import gateways
from core.access import Caller
from core.api import problem
from core.api_views import Api
from routing.rules.document import Problem
from routing.rules.exports import FORMS
from routing.selectors import exports
from routing.serving import documents, loading

_FORMS = ", ".join(FORMS)


class RulesExportApi(Api):
    """The rules in force in a gateway's own form. Two queries where the form was asked for before, else four.

    Up to three more for the limits of budgets, where the form says them.
    """

    actions: ClassVar[dict[str, str]] = {"GET": loading.ACTION}

    class QuerySerializer(serializers.Serializer):
        format = serializers.ChoiceField(
            list(FORMS),
            help_text="The form.",
            error_messages={
                "required": f"Say in which form: {_FORMS}.",
                "invalid_choice": f"There is no form {{input}}; there are {_FORMS}.",
            },
        )
        gateway = serializers.CharField(
            required=False,
            max_length=128,
            help_text="The gateway that it is for, by name, where a budget is of one gateway; else the key's.",
        )

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # `format` is ours here, and whoever accepts something else gets the form all the same.
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        summary="The rules in force, in a gateway's own form",
        operation_id="rules_export",
        description="What is exceeded or switched off now is taken out already, so ask again when it changes: the "
        "`ETag` is version and state, as of the rules themselves, and 304 says that you have this. For forms that hold "
        "limits of budgets it changes with a limit too. What is bound to "
        "time is rendered as of the moment from which the state holds. 409 (`not-expressible`) names every rule that "
        "the form cannot say, and why; keep what you have.",
        parameters=[
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="ETags of what you have.")
        ],
        responses={
            (200, documents.JSON_TYPE): OpenApiTypes.OBJECT,
            304: OpenApiResponse(description="You have it."),
            (404, documents.PROBLEM_TYPE): OpenApiResponse(
                response=OpenApiTypes.OBJECT, description="`no-version`: no rules are in force; keep those you have."
            ),
            (409, documents.PROBLEM_TYPE): OpenApiResponse(
                response=OpenApiTypes.OBJECT, description="`not-expressible`: the form cannot say these rules."
            ),
        },
        tags=["rules"],
    )
    def get(self, request: Request, environment: str) -> HttpResponse | Response:
        form = FORMS[self.query["format"]]
        pointer = next(iter(loading.pointers(environment=environment)), None)
        whole = None
        if pointer is not None:
            found = exports.exported(pointer, form, self._gateway(request), at=timezone.now())
            if found.whole is None:
                return _refused(request, f"{form.title} cannot say these rules; keep what you have.", found.unfit)
            whole = found.whole
        answer = documents.respond(
            whole,
            path=request.path,
            if_none_match=request.headers.get("If-None-Match"),
            accept_encoding=request.headers.get("Accept-Encoding"),
        )
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))

    def _gateway(self, request: Request) -> str | None:
        named = self.query.get("gateway")
        if named:
            return gateways.get(named).name
        return request.user.gateway if isinstance(request.user, Caller) else None


def _refused(request: Request, detail: str, unfit: tuple[Problem, ...]) -> Response:
    return problem(
        status=409,
        detail=detail,
        instance=request.path,
        code=exports.NOT_EXPRESSIBLE,
        errors=[{"pointer": f"#{one.pointer}", "code": one.code, "detail": one.text} for one in unfit],
        headers={"Cache-Control": "no-store"},
    )
