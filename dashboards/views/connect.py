"""Connecting a gateway: choose its kind, get the lines to paste with the key filled in, see it turn green.

# Note [A secret is shown once]
The page with a new secret is the answer to the POST that made it, sent with `no-store`: a redirect would have to keep
the secret somewhere until the next request. So a reload sends the POST again, and that must not make a second key. It
needs no memory of what was sent: a gateway's name is taken the second time, a rotated key is revoked already, and the
form for another key names the newest key that the person saw, which is then not the newest any more. Whoever reloads is
brought to the same lines with a placeholder, and a way to rotate. Where scripts run the page takes that address at
once, so that a reload asks for nothing a second time.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from catalog.models import Gateway, TakesRules
from catalog.services import gateways as service
from core import access, secrets
from core.errors import Invalid
from core.models import ApiKey
from core.services import keys
from dashboards import connecting
from dashboards.connecting import GROUPS, Recipe
from dashboards.forms_gateways import AnotherKeyForm, ConnectForm
from dashboards.selectors import connecting as selector
from dashboards.selectors import gateways as page_of
from dashboards.selectors.connecting import Facts
from dashboards.selectors.gateways import KeyRow
from dashboards.views import connect_words
from dashboards.views.access import page
from dashboards.views.gateway_words import key_line
from dashboards.views.links import number
from routing.selectors import environments, s3_objects

LOOKS = 200  # by itself, every three seconds: ten minutes
_UNSET = "http://127.0.0.1:8000"  # TOLLKEEPER_BASE_URL where nobody set it
_LOCAL = ("127.0.0.1", "localhost", "::1")
_JUST_NOW = timedelta(hours=1)


@page("keys.manage", "GET", "POST")
def connect(request: HttpRequest) -> HttpResponse:
    """Choose a kind, fill in the form, make a gateway with its first key; see Note [A secret is shown once]."""
    chosen = request.POST.get("kind") if request.method == "POST" else request.GET.get("kind")
    recipe = connecting.recipes().get(chosen or "")
    if recipe is None:
        unknown = chosen is not None
        return render(
            request,
            "dashboards/connect/choose.html",
            {"groups": _groups(), "unknown": unknown},
            status=(422 if request.method == "POST" else 404) if unknown else 200,
        )
    grantable = keys.grantable(request.user)
    known = [row.name for row in environments.listed()]
    if request.method != "POST":
        initial = {"name": _free_name(recipe)}
        return _form(request, recipe, ConnectForm(scopes=grantable, recipe=recipe, environments=known, initial=initial))
    form = ConnectForm(request.POST, scopes=grantable, recipe=recipe, environments=known)
    if form.is_valid():
        data, by, now = form.cleaned_data, access.label(request.user), timezone.now()
        try:
            secret = service.connect(
                name=data["name"],
                kind=recipe.kind,
                environment=data["environment"],
                scopes=data["scopes"],
                expires_at=form.expires_at(request.organisation.zone),  # type: ignore[attr-defined]
                takes_rules=form.takes_rules_so(),
                by=by,
                at=now,
            )
        except Invalid as error:
            form.show(error.problems)
        except service.GatewayExists as error:
            made = _made_before(name=data["name"], recipe=recipe, by=by, since=now - _JUST_NOW)
            if made is not None:
                messages.info(
                    request, "Its key was made a moment ago. A secret is shown once; rotate it if you missed it."
                )
                return redirect(address_of(made.gateway_id or 0, recipe, key_id=made.id))
            form.show([("name", f"{error} For another key of it, open it and choose its lines there.")])
        else:
            return made_page(request, secret, recipe=recipe)
    return _form(request, recipe, form, status=422)


def _form(request: HttpRequest, recipe: Recipe, form: ConnectForm, *, status: int = 200) -> HttpResponse:
    same = Gateway.objects.filter(kind=recipe.kind, retired_at__isnull=True).order_by("name")
    existing = [(name, address_of(pk, recipe)) for pk, name in same.values_list("id", "name")[:20]]
    context = {"recipe": recipe, "form": form, "existing": existing, "apart": bool(form.errors)}
    return render(request, "dashboards/connect/new.html", context, status=status)


@page("view")
def connected(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a gateway's lines with a placeholder, and how far its connection is; htmx gets the latter alone."""
    now = timezone.now()
    key_id, looked = number(request.GET, "key"), number(request.GET, "looked") or 0
    facts = selector.facts(gateway_id=pk, at=now, key_id=key_id)
    if facts is None:
        raise Http404("There is no such gateway.")
    if facts.page.row.retired_at is not None:
        messages.info(request, f"The gateway {facts.page.row.name} is retired: it connects no more.")
        return redirect("gateway", pk=pk)
    recipe = _recipe(request, facts)
    context = _watched(facts, recipe, now, key_id=key_id, looked=looked)
    if request.headers.get("HX-Request"):
        return render(request, "dashboards/connect/_watch.html", context)
    may_manage = request.user.has_perm("keys.manage")
    grantable = keys.grantable(request.user) if may_manage else []
    kept = {"name": facts.page.row.name, "newest": facts.page.newest_key, "scopes": list(recipe.scopes)}
    environment = facts.key.environment if facts.key else "production"
    key_name = facts.key.name if facts.key else "KEY-NAME"
    context |= _lines(request, facts.page.row.name, environment, recipe, connecting.YOUR_KEY, key_name=key_name)
    context |= {
        "keys": [key_line(key, now=now, grantable=grantable) for key in facts.page.row.keys],
        "form": AnotherKeyForm(scopes=grantable, initial={**kept, "environment": environment}),
        "may_manage": may_manage,
        "ways": _ways(pk, recipe),
    }
    return render(request, "dashboards/connect/connected.html", context)


def made_page(
    request: HttpRequest, secret: str, *, recipe: Recipe | None = None, instead_of: KeyRow | None = None
) -> HttpResponse:
    """Answer with the lines that hold a new secret, which no cache keeps; see Note [A secret is shown once]."""
    now = timezone.now()
    made = ApiKey.objects.get(digest=keys.digest_of(secret))
    row = page_of.key(key_id=made.pk)
    if row is None or row.gateway_id is None:
        raise RuntimeError("a key was made for no gateway")
    facts = selector.facts(gateway_id=row.gateway_id, at=now, key_id=row.id)
    if facts is None:
        raise RuntimeError("a key was made for a gateway that there is not")
    if recipe is None:
        recipe = _recipe(request, facts)
    context = _watched(facts, recipe, now, key_id=row.id, looked=0)
    s3 = _bucket(request, made, row) if recipe.reads_a_bucket and row.may_fetch_rules else ""
    context |= _lines(
        request, facts.page.row.name, row.environment, recipe, secret, key_name=row.name, scopes=row.scopes, s3=s3
    )  # fmt: skip
    context |= {
        "row": row,
        "secret": secret,
        "instead_of": instead_of,
        "address": address_of(row.gateway_id, recipe, key_id=row.id),
    }
    answer = render(request, "dashboards/connect/connected.html", context)
    add_never_cache_headers(answer)  # no-store among them
    return answer


def address_of(gateway_id: int, recipe: Recipe | None = None, *, key_id: int | None = None) -> str:
    """Return where a gateway's connection is looked at."""
    given = {"as": recipe.id if recipe else "", "key": str(key_id or "")}
    query = urlencode({name: value for name, value in given.items() if value})
    return reverse("gateway-connect", args=[gateway_id]) + (f"?{query}" if query else "")


def base_url(request: HttpRequest) -> str:
    """Return the address that gateways are told: the one that was set, else the one that this page was asked at."""
    given: str = settings.BASE_URL
    return given if given != _UNSET else request.build_absolute_uri("/").rstrip("/")


def _recipe(request: HttpRequest, facts: Facts) -> Recipe:
    """Return the recipe that the address names, where it is one of that kind of gateway; else the most likely one.

    Raises:
        Http404: there is no such recipe.
    """
    named = request.GET.get("as", "")
    if named:
        recipe = connecting.recipes().get(named)
        if recipe is None:
            raise Http404("There is no such kind of gateway.")
        return recipe
    return connecting.of_kind(facts.page.row.kind, takes_rules=facts.page.row.takes_rules)


def _watched(facts: Facts, recipe: Recipe, now: datetime, *, key_id: int | None, looked: int) -> dict[str, object]:
    told = connect_words.diagnosis(facts, recipe, now)
    address = address_of(facts.page.row.id, recipe, key_id=key_id)
    return {
        "gateway": facts.page.row,
        "recipe": recipe,
        "told": told,
        "watch_url": f"{address}&looked={looked + 1}",
        "look_url": address,
        "watches": not told.done and looked < LOOKS,
        "key_id": key_id,
        "now": now,
    }


def _lines(
    request: HttpRequest,
    gateway: str,
    environment: str,
    recipe: Recipe,
    key: str,
    *,
    key_name: str,
    scopes: tuple[str, ...] | None = None,
    s3: str = "",
) -> dict[str, object]:
    """Return the lines to paste; those that a key with these scopes can do."""
    url = base_url(request)
    values = {
        "url": url,
        "key": key,
        "environment": environment,
        "gateway": gateway,
        "s3": s3 or f"python manage.py s3_secret {shlex.quote(key_name)} --url {url}  # prints the variables",
    }
    may = {
        side: scopes is None or not access.ACTIONS[action].scopes.isdisjoint(scopes)
        for side, action in (("usage", "usage.send"), ("rules", "rules.read"))
    }
    may["both"] = may["usage"] or may["rules"]
    return {
        "lines": [one for one in recipe.filled_in(values) if may[one.side]],
        "send": recipe.first_event(values) if may["usage"] else "",
        "poll": (
            f'curl -i -H "Authorization: Bearer {key}" {url}/api/v1/rules/{environment}'
            if may["rules"] and recipe.rules == TakesRules.POLL
            else ""
        ),
        # Where the lines themselves are curl there is nothing more to try.
        "by_hand": (may["usage"] or may["rules"]) and recipe.id != "native",
        "url": url,
        "only_here": urlsplit(url).hostname in _LOCAL,
        "environment": environment,
    }


def _bucket(request: HttpRequest, key: ApiKey, row: KeyRow) -> str:
    """Give a key what signs requests for a bucket, and return the variables; nothing where none can be kept."""
    try:
        made = keys.make_s3_secret(key=key, by=access.label(request.user), at=timezone.now())
    except secrets.KeysMissing:
        return ""
    found = s3_objects.variables(base_url=base_url(request), environment=row.environment, made=made)
    return "\n".join(f"export {name}={value}" for name, value in found.items())


def _groups() -> list[tuple[str, list[Recipe]]]:
    grouped: dict[str, list[Recipe]] = defaultdict(list)
    for one in connecting.recipes().values():
        grouped[one.group].append(one)
    return [(title, grouped[group]) for group, title in GROUPS.items() if grouped[group]]


def _ways(pk: int, recipe: Recipe) -> list[tuple[Recipe, str, bool]]:
    """Return the recipes of the same kind of gateway, where there are several, as links."""
    same = [one for one in connecting.recipes().values() if one.kind == recipe.kind]
    return [(one, address_of(pk, one), one.id == recipe.id) for one in same] if len(same) > 1 else []


def _free_name(recipe: Recipe) -> str:
    """Return a name that no gateway has."""
    taken = set(Gateway.objects.filter(name__istartswith=recipe.name).values_list("name", flat=True))
    taken = {name.lower() for name in taken}
    names = (recipe.name, *(f"{recipe.name}-{count}" for count in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _made_before(*, name: str, recipe: Recipe, by: str, since: datetime) -> KeyRow | None:
    """Return the key that the same request made a moment ago, if it was that."""
    found = ApiKey.objects.filter(
        gateway_key__gateway__name__iexact=name.strip(),
        gateway_key__gateway__kind=recipe.kind,
        gateway_key__gateway__created_at__gte=since,
        created_by=by,
        revoked_at__isnull=True,
    ).values_list("id", flat=True)
    first = found.order_by("id").first()
    return page_of.key(key_id=first) if first is not None else None
