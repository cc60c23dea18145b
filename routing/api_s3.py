"""A bucket to read from, for gateways that take their configuration from S3 and from nowhere else.

`GET /s3/{environment}/litellm/config.yaml`, path-style and signed with AWS Signature Version 4. Whoever's signature
does not fit is told that and nothing else: not whether there is such a key, nor what is in the bucket. A bucket is an
environment, and a key reads that of its own gateway.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from django.http import HttpResponse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.selectors import callers
from core import keys as key_rows
from core import sigv4, turned_away
from core.access import Caller
from core.api import acting_as
from core.api_views import LARGEST_BODY_BYTES, Api
from core.errors import Invalid
from core.models import ApiKey
from core.services import keys
from routing.selectors import s3_objects

ACTION = "rules.read"
_NOBODY = "nobody has this secret"
_REASONS_TOLD = 10


class NotSigned(exceptions.AuthenticationFailed):
    """The signature does not fit; one answer for every reason."""


class TooSkewed(exceptions.AuthenticationFailed):
    """The signature fits, and is not of now. Only whoever can sign learns that."""


class SignedRequest(BaseAuthentication):
    """From a signature to the key that stands for its access key id."""

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        now = timezone.now()
        given = sigv4.read(request.META.get("HTTP_AUTHORIZATION", ""))
        key_id = None if given is None else keys.key_id_of(given.access_key_id)
        try:
            caller = self._caller(request, given, key_id, now)
        except (NotSigned, TooSkewed) as refused:
            skewed = isinstance(refused, TooSkewed)
            turned_away.note_signature(key_id=key_id or 0, skewed=skewed, path=request.path, at=now)
            raise
        key_rows.note_use(caller=caller, at=now)
        return caller, None

    @staticmethod
    def _caller(request: Request, given: sigv4.Authorization | None, key_id: int | None, now: datetime) -> Caller:
        # Nothing is put here, and a body is read and hashed before anybody knows whose it is.
        if given is None or int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_BODY_BYTES:
            raise NotSigned
        known = None if key_id is None else callers.signing(key_id)
        fits = sigv4.fits(
            given,
            # Whoever is not known takes as long as a wrong signature does.
            secret=_NOBODY if known is None else known[1],
            method=request.method or "",
            path=request.path,
            query=parse_qsl(request.META.get("QUERY_STRING", ""), keep_blank_values=True),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.body,
        )
        if known is None or not fits:
            raise NotSigned
        caller = known[0]
        if caller.expires_at is not None and caller.expires_at <= now:
            raise NotSigned
        if not sigv4.is_recent(request.headers.get("x-amz-date", ""), at=now):
            raise TooSkewed
        return caller

    def authenticate_header(self, request: Request) -> str:
        return ""  # S3 answers 403 and asks for nothing


class S3ObjectApi(Api):
    """An object. Four queries at most."""

    actions: ClassVar[dict[str, str]] = {"GET": ACTION}
    authentication_classes = (SignedRequest,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Past the check of the query string: clients add words of their own, and all of it is signed.
        super(Api, self).initial(request, *args, **kwargs)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)

    def handle_exception(self, exc: Exception) -> Any:
        match exc:
            case TooSkewed():
                return _refused(403, "RequestTimeTooSkewed", "This was signed more than 15 minutes from now.")
            case exceptions.AuthenticationFailed() | exceptions.NotAuthenticated():
                return _refused(403, "SignatureDoesNotMatch", "The request is not signed as it has to be.")
            case exceptions.PermissionDenied():
                return _refused(403, "AccessDenied", "This key may not read rules.")
            case exceptions.MethodNotAllowed():
                return _refused(405, "MethodNotAllowed", "A bucket here can be read, and nothing else.")
        return super().handle_exception(exc)

    @extend_schema(exclude=True)  # Amazon's to describe
    def get(self, request: Request, bucket: str, key: str = "") -> HttpResponse:
        caller = request.user
        if not isinstance(caller, Caller) or caller.gateway_id is None or bucket != caller.environment:
            return _refused(404, "NoSuchBucket", "There is no such bucket for this key.")
        found = s3_objects.read(environment=bucket, key=key, gateway=caller.gateway)
        if found is None:
            return _refused(404, "NoSuchKey", "There is no such object, or no rules are in force.")
        if found.unfit:
            reasons = "; ".join(f"{one.pointer or '/'}: {one.text}" for one in found.unfit[:_REASONS_TOLD])
            return _refused(409, "InvalidObjectState", f"A file cannot say the rules in force: {reasons}.")
        tag = f'"{found.tag}"'
        answer = HttpResponse(found.body, content_type="application/yaml", headers={"ETag": tag})
        return get_conditional_response(request, etag=tag, response=answer) or answer


def _refused(status: int, code: str, message: str) -> HttpResponse:
    told = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{told}'
    return HttpResponse(body, status=status, content_type="application/xml")


class S3SecretApi(Api):
    """A secret for the key that asks. It makes the key no more than it is: the secret reads what the key may read."""

    actions: ClassVar[dict[str, str]] = {"POST": ACTION}

    class Output(serializers.Serializer):
        access_key_id = serializers.CharField()
        secret_access_key = serializers.CharField(help_text="Shown this once; the one before stops.")
        bucket = serializers.CharField(help_text="The key's environment.")
        object_key = serializers.CharField(help_text="LiteLLM's configuration in it.")

    @extend_schema(
        summary="Make a secret to read configuration with from S3", operation_id="s3_secret_create", tags=["rules"],
        request=None, responses={201: Output},
        description="For gateways that take their configuration from an S3 address: the address is `/s3` of this "
        "installation. Asked with the key of the gateway itself; each call makes another secret.",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        caller = request.user
        if not isinstance(caller, Caller) or caller.gateway_id is None:
            raise Invalid("Only a key that stands for a gateway has such a secret: ask with that key.")
        made = keys.make_s3_secret(key=ApiKey.objects.get(pk=caller.key_id), by=acting_as(request), at=timezone.now())
        told = {**made._asdict(), "bucket": caller.environment, "object_key": s3_objects.CONFIG}
        return Response(told, status=201)
