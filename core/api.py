"""What every API view stands on: keys, declared actions, problem details, query parameters, pages of a list.

# Note [400 or 422]
400 says that the request could not be read: a body that is not JSON, a query parameter that is unknown or malformed.
422 says that it was read and what it asks for cannot be: a field that does not validate, a range that is too long.

# Note [Declared actions]
A view names the action of each of its methods, `actions = {"GET": "view", "POST": "budgets.edit"}`; what a view does
not declare is refused to everybody, so a forgotten line closes a door instead of leaving it open.

REST framework loads this module while it makes its own views (the settings name it), so it imports none of them; what
views are made of stands in `core/api_views.py`.
"""

from __future__ import annotations

import logging
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import django.core.exceptions
import msgspec
from django.conf import settings
from django.core.signals import got_request_exception
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework import exceptions, serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from core import access, errors, keys, money, statements, turned_away
from core.models import SCOPES

if TYPE_CHECKING:
    from rest_framework.views import APIView

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
MOST_PER_PAGE = 500
USUAL_PER_PAGE = 100
# Where a year is a slip or mischief; calendars of zones end somewhere, too.
FIRST_YEAR, LAST_YEAR = 1970, 2200

Row = TypeVar("Row")

# --- who calls ---


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`, or `X-API-Key: KEY` where a gateway cannot set the former.

    A request that carries neither is left to the next way of signing in; one whose key does not count gets 401.
    """

    def authenticate(self, request: Request) -> tuple[access.Caller, None] | None:
        secret = self._secret(request)
        if secret is None:
            return None
        now = timezone.now()
        caller = keys.caller(secret=secret, at=now)
        if caller is None:
            turned_away.note_key(secret=secret, path=request.path, at=now)
            raise exceptions.AuthenticationFailed("This key is unknown, expired or revoked.")
        keys.note_use(caller=caller, at=now)
        return caller, None

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401 (RFC 6750)."""
        if self._secret(request) is None:
            return 'Bearer realm="tollkeeper"'
        return 'Bearer realm="tollkeeper", error="invalid_token"'

    @staticmethod
    def _secret(request: Request) -> str | None:
        scheme, _, rest = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() == "bearer":
            return rest.strip()
        # Another scheme, such as Basic of a proxy in front, is not meant for us.
        secret: str | None = request.META.get("HTTP_X_API_KEY")
        return secret


class Allowed(BasePermission):
    """Let through who may do what the view declares for the method. See Note [Declared actions]."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        method = (request.method or "").upper()
        if method not in view.allowed_methods:
            raise exceptions.MethodNotAllowed(method)
        declared: Mapping[str, str] = getattr(view, "actions", {})
        if method == "OPTIONS":  # says which methods there are: for whoever may use one
            return any(access.may(request.user, action) for action in declared.values())
        action = declared.get("GET" if method == "HEAD" else method)
        if action is None:
            self.message = "This operation declares no action, so nobody may do it."
            return False
        self.message = refusal(request.user, action)
        allowed = access.may(request.user, action)
        if not allowed:
            self._note(request, action)
        return allowed

    @staticmethod
    def _note(request: Request, action: str) -> None:
        # People who lack a role see so for themselves; a gateway's log is where nobody looks.
        if isinstance(request.user, access.Caller):
            turned_away.note_scope(key_id=request.user.key_id, action=action, path=request.path, at=timezone.now())
        elif not request.user.is_authenticated:
            turned_away.note_no_key(path=request.path, at=timezone.now())


def refusal(caller: Any, action: str) -> str:
    """Say what a caller may not do, and which scopes of a key (the least first) or roles of a person would do."""
    grant = access.ACTIONS[action]
    if isinstance(caller, access.Caller):
        scopes = [scope for scope in SCOPES if scope in grant.scopes]
        return f"This key may not {grant.does}. One of these scopes would do: {', '.join(scopes)}."
    return f"You may not {grant.does}. One of these roles would do: {', '.join(sorted(grant.roles))}."


def acting_as(request: Request) -> str:
    """Return the caller's label for the audit trail."""
    return access.label(request.user)


class NoQuery(serializers.Serializer):
    """Of a view that takes no parameters."""


def body(serializer: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    """Return the body as the serializer reads it; a field that nobody knows is refused like a wrong one.

    Raises:
        ValidationError: with everything that is wrong.
    """
    reads = serializer(data=request.data)
    reads.is_valid(raise_exception=True)
    known = [name for name, field in reads.fields.items() if not field.read_only]
    unknown = [name for name in request.data if name not in known]
    if unknown:
        sentence = f"Unknown; known are {', '.join(known)}."
        raise exceptions.ValidationError({name: [sentence] for name in unknown})
    return dict(reads.validated_data)


# --- what went wrong ---


class BadQuery(exceptions.APIException):
    """The query string cannot be read. `problems` is a list of (parameter, sentence)."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "bad-query"

    def __init__(self, detail: str, problems: list[tuple[str, str]]) -> None:
        super().__init__(detail)
        self.problems = problems


# By kind of failure: status, and the last part of the problem's type.
_KINDS: tuple[tuple[type[Exception], int, str], ...] = (
    (errors.NotFound, 404, "not-found"),
    (errors.Malformed, 400, "malformed"),
    (errors.Invalid, 422, "invalid"),
    (errors.Conflict, 409, "conflict"),
    (errors.LimitReached, 429, "limit-reached"),
    (errors.TooLarge, 413, "too-large"),
    (errors.Unavailable, 503, "unavailable"),
    (errors.UpstreamFailed, 502, "upstream-failed"),
)

_TITLES = {
    400: "The request cannot be read",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "In conflict with the present state",
    413: "Too large",
    415: "Unsupported media type",
    422: "Cannot be used as it is",
    429: "Too much at once",
    500: "Something broke here",
    502: "A system outside failed",
    503: "Not available now",
}


def problem(
    *,
    status: int,
    detail: str,
    instance: str,
    code: str | None = None,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return an RFC 9457 answer. `code` ends the type, a name that programs may rely on."""
    # What was wrong is often told in its own words, and half of a surrogate pair cannot be written in an answer.
    detail, instance = _writable(detail), _writable(instance)
    errors = [{name: _writable(text) for name, text in one.items()} for one in errors or ()]
    body: dict[str, Any] = {
        "type": f"urn:tollkeeper:problem:{code}" if code else "about:blank",
        "title": _TITLES.get(status, "The request failed"),
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    if errors:
        body["errors"] = errors
    return Response(body, status=status, headers=headers, content_type=PROBLEM_TYPE)


def problem_details(exc: Exception, context: dict[str, Any]) -> Response:
    """Turn whatever an API view raised into problem details; what nobody expected is logged and shows no internals."""
    request: Request = context["request"]
    where = request.path
    in_query = request.method in ("GET", "HEAD")

    for kind, answered, slug in _KINDS:
        if isinstance(exc, kind):
            headers = {}
            if isinstance(exc, errors.LimitReached | errors.Unavailable):
                headers["Retry-After"] = str(exc.retry_after_seconds)
            found = []
            if isinstance(exc, errors.Invalid):
                found = [_located(field, sentence, in_query=in_query) for field, sentence in exc.problems]
            return problem(
                status=answered,
                detail=str(exc),
                instance=where,
                code=getattr(exc, "code", slug),
                errors=found,
                headers=headers,
            )

    if isinstance(exc, BadQuery):
        found = [{"parameter": name, "detail": sentence} for name, sentence in exc.problems]
        return problem(status=400, detail=str(exc.detail), instance=where, code="bad-query", errors=found)
    if isinstance(exc, exceptions.ValidationError):
        found = list(_flattened(exc.detail, ""))
        first = found[0]["detail"] if found else "It does not validate."
        detail = first if len(found) < 2 else f"{len(found)} things are wrong; the first: {first}"
        return problem(status=422, detail=detail, instance=where, code="invalid", errors=found)
    if isinstance(exc, Http404):
        return problem(status=404, detail="There is nothing here.", instance=where, code="not-found")
    if isinstance(exc, django.core.exceptions.PermissionDenied):
        return problem(status=403, detail="Not allowed.", instance=where, code="not-allowed")
    if isinstance(exc, exceptions.APIException):
        headers = {}
        if challenge := getattr(exc, "auth_header", None):
            headers["WWW-Authenticate"] = challenge
        if wait := getattr(exc, "wait", None):
            headers["Retry-After"] = str(int(wait))
        code = str(exc.default_code).replace("_", "-")
        detail = _sentence(exc.detail)
        if isinstance(exc, exceptions.UnsupportedMediaType):
            taken = " or ".join(dict.fromkeys(parser.media_type for parser in context["view"].get_parsers()))
            detail += f" Send {taken}, and say so in Content-Type."
        return problem(status=exc.status_code, detail=detail, instance=where, code=code, headers=headers)
    if statements.took_too_long(exc):
        log.warning("api.too_slow", exc_info=exc)
        seconds = settings.STATEMENT_SECONDS
        if in_query:
            sentence = f"To read this takes over {seconds} seconds. Ask for a shorter range, or for less at once."
        else:
            sentence = f"This could not be done within {seconds} seconds and was given up; try again."
        return problem(
            status=503, detail=sentence, instance=where, code="too-slow", headers={"Retry-After": str(seconds)}
        )
    # The database restarts or is out of connections: gateways should come again, and keep what they have.
    if isinstance(exc, OperationalError | InterfaceError):
        log.warning("api.database_unavailable", exc_info=exc)
        return problem(
            status=503,
            detail="The database does not answer; try again.",
            instance=where,
            code="unavailable",
            headers={"Retry-After": "2"},
        )

    # Fields check what they know; the rest of what PostgreSQL cannot keep is still the sender's, not our mistake.
    if isinstance(exc, DataError | UnicodeEncodeError):
        log.info("api.cannot_be_kept", exc_info=exc)
        sentence = "Something in it cannot be kept: a number out of range, or a character that is none."
        return problem(status=422, detail=sentence, instance=where, code="invalid")
    if isinstance(exc, RecursionError):
        return problem(status=400, detail="It is nested too deeply.", instance=where, code="malformed")

    log.error("api.failed", exc_info=exc)
    got_request_exception.send(sender=None, request=request._request)
    return problem(
        status=500, detail="This is our mistake; the log has the cause.", instance=where, code="internal-error"
    )


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _sentence(detail: Any) -> str:
    if isinstance(detail, Mapping):
        return " ".join(_sentence(part) for part in detail.values())
    if isinstance(detail, list | tuple):
        return " ".join(_sentence(part) for part in detail)
    return str(detail)


def _located(field: str, sentence: str, *, in_query: bool) -> dict[str, str]:
    if in_query:
        return {"parameter": field, "detail": sentence}
    if field.startswith("/"):  # a JSON pointer already
        return {"pointer": "#" + field, "detail": sentence}
    return {"pointer": "#/" + field.replace(".", "/") if field else "#", "detail": sentence}


def _flattened(detail: Any, path: str) -> Iterable[dict[str, str]]:
    """Yield every error of a serializer with a JSON pointer to its field."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            step = "" if name == "non_field_errors" else "/" + str(name).replace("~", "~0").replace("/", "~1")
            yield from _flattened(inner, path + step)
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            # A list of sentences is about this field; a list of mappings is one per item.
            yield from _flattened(inner, f"{path}/{index}" if isinstance(inner, Mapping | list) else path)
    elif detail:
        yield {"pointer": "#" + path, "detail": str(detail)}


def no_such_path(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """Answer for paths below /api/ that do not exist. It comes before any sign-in, and needs no CSRF token."""
    body = {
        "type": "urn:tollkeeper:problem:not-found",
        "title": _TITLES[404],
        "status": 404,
        "detail": "There is no such path; /api/docs/ lists those there are.",
        "instance": request.path,
    }
    return HttpResponse(msgspec.json.encode(body), content_type=PROBLEM_TYPE, status=404)


no_such_path.csrf_exempt = True  # type: ignore[attr-defined]


# --- what is asked ---


def parameters(
    serializer: type[serializers.Serializer], request: Request, *, also: str | None = None
) -> dict[str, Any]:
    """Return the query parameters as the serializer reads them; `also` is a pattern of further names, left to the view.

    A parameter that nobody knows is refused: a filter with a slip in its name would answer for everything.

    Raises:
        BadQuery: an unknown parameter, with the list of known ones, or a value that cannot be read.
    """
    reads = serializer(data=request.query_params)
    known = [name for name, field in reads.fields.items() if not field.read_only]
    unknown = [name for name in request.query_params if name not in known and not (also and re.fullmatch(also, name))]
    if unknown:
        listed = ", ".join(known)
        raise BadQuery(
            f"Unknown: {', '.join(unknown)}. Known: {listed}.",
            [(name, f"unknown; known are {listed}") for name in unknown],
        )
    nothings = [
        name for name, values in request.query_params.lists() if any("\x00" in text for text in (name, *values))
    ]
    if nothings:
        raise BadQuery("A NUL character is no text.", [(name, "holds a NUL character") for name in nothings])
    if not reads.is_valid():
        found = [(each["pointer"].lstrip("#/").split("/")[0], each["detail"]) for each in _flattened(reads.errors, "")]
        raise BadQuery("; ".join(f"{name}: {sentence}" for name, sentence in found), found)
    return dict(reads.validated_data)


class PageQuery(serializers.Serializer):
    """`after` and `limit` of every list."""

    after = serializers.CharField(
        required=False, help_text="Where the last page ended: taken from `next`, never made by hand."
    )
    limit = serializers.IntegerField(
        required=False, default=USUAL_PER_PAGE, min_value=1, max_value=MOST_PER_PAGE, help_text="Rows per page."
    )


def written_cursor(values: Sequence[str | int]) -> str:
    """Return the key of a page's last row as one opaque word."""
    return urlsafe_b64encode(msgspec.json.encode(list(values))).decode().rstrip("=")


def read_cursor(after: str | None, types: Sequence[type]) -> list[Any] | None:
    """Return the key in an `after` parameter, None where there is none.

    Raises:
        BadQuery: it was not made by `written_cursor` for this list.
    """
    if not after:
        return None
    try:
        values = msgspec.json.decode(urlsafe_b64decode(after + "=" * (-len(after) % 4)), type=list)
    except ValueError as error:
        raise BadQuery("after: take it from `next` as it is.", [("after", "not a page of this list")]) from error
    if len(values) != len(types) or not all(type(v) is t for v, t in zip(values, types, strict=True)):
        raise BadQuery("after: take it from `next` as it is.", [("after", "not a page of this list")])
    return values


def next_page(request: Request, cursor: str) -> str:
    """Return the address of the page that begins after a cursor, with the same filters."""
    query = request.query_params.copy()
    query["after"] = cursor
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def paged(
    request: Request, rows: Sequence[Row], *, limit: int, key: Callable[[Row], Sequence[str | int]]
) -> dict[str, Any]:
    """Return `results` (rows still to be written) and `next`, from one row more than `limit` asked for.

    Keyset paging: `key` names the row in the list's order, so rows that come or go meanwhile shift nothing.
    """
    shown = list(rows[:limit])
    following = None
    if len(rows) > limit:
        following = next_page(request, written_cursor(key(shown[-1])))
    return {"results": shown, "next": following}


# --- what is answered ---


class MoneyField(serializers.Field):
    """A decimal string: exact, without exponent or trailing zeros. Numbers are read only from strings and integers."""

    default_error_messages = {"decimal": 'Write it as a decimal string, such as "12.34".'}
    _PATTERN = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,18})?")

    def to_internal_value(self, data: Any) -> Decimal:
        # A JSON number with a point went through binary fractions on its way; 0.1 would not be 0.1 any more.
        if isinstance(data, int) and not isinstance(data, bool):
            data = str(data)
        if not isinstance(data, str) or not self._PATTERN.fullmatch(data.strip()):
            self.fail("decimal")
        return Decimal(data.strip())

    def to_representation(self, value: Decimal) -> str:
        return money.plain(value)


class InstantField(serializers.DateTimeField):
    """An instant, RFC 3339; read with any offset, which must be there, and written in UTC with Z."""

    default_error_messages = {
        "naive": "Add the offset: 2026-11-20T12:00:00Z.",
        "year": f"Only the years from {FIRST_YEAR} to {LAST_YEAR} can be told.",
    }

    def enforce_timezone(self, value: datetime) -> datetime:
        if timezone.is_naive(value):
            self.fail("naive")
        if not FIRST_YEAR <= value.year <= LAST_YEAR:
            self.fail("year")
        return value.astimezone(UTC)

    def to_representation(self, value: datetime) -> str:
        return instant(value) or ""


def instant(value: datetime | None) -> str | None:
    """Return an instant as RFC 3339 in UTC with Z, microseconds only where there are any."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def page_of(item: type[serializers.Serializer], name: str) -> type[serializers.Serializer]:
    """Return the serializer of a page of a list, for the OpenAPI document."""
    return type(
        name,
        (serializers.Serializer,),
        {
            "results": item(many=True),
            "next": serializers.CharField(allow_null=True, help_text="Address of the next page, null on the last."),
        },
    )
