"""Resources: the rules in force, published versions and budgets, byte for byte as REST gives them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rest_framework.renderers import JSONRenderer

from budgets.api import BudgetOutput
from budgets.selectors import overview
from controlplane.mcp.asking import demand
from core.access import Caller
from core.errors import NotFound
from routing.serving import loading

SCHEME = "tollkeeper://"
JSON = "application/json"
BUDGETS = f"{SCHEME}budgets"
# As environments are named in addresses; see routing.serving.front.
_ENVIRONMENT = r"[A-Za-z0-9._:@-]{1,64}"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A kind of resource: its addresses, what they demand, and how one is read."""

    uri: str
    name: str
    title: str
    description: str
    action: str
    pattern: re.Pattern[str]
    read: Callable[[Sequence[str], datetime], bytes]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A resource that there is."""

    uri: str
    name: str
    title: str
    description: str


def _rules(found: Sequence[str], at: datetime) -> bytes:
    """Three queries."""
    pointers = loading.pointers(environment=found[0])
    if not pointers:
        raise NotFound(f"No rules are in force in {found[0]}.")
    return loading.served(pointers[0]).plain


def _version(found: Sequence[str], at: datetime) -> bytes:
    """One query."""
    environment, number = found
    version = loading.published(environment=environment, number=int(number))
    if version is None:
        raise NotFound(f"There is no version {number} of {environment}.")
    return version.plain


def _budgets(found: Sequence[str], at: datetime) -> bytes:
    """Six queries."""
    rows = sorted(overview.rows(at=at), key=lambda row: row.id)
    return JSONRenderer().render(BudgetOutput(rows, many=True).data)


def _budget(found: Sequence[str], at: datetime) -> bytes:
    """Six queries."""
    row = overview.one(budget_id=int(found[0]), at=at)
    if row is None:
        raise NotFound(f"There is no budget {found[0]}.")
    return JSONRenderer().render(BudgetOutput(row).data)


TEMPLATES = (
    Template(
        uri=f"{SCHEME}rules/{{environment}}",
        name="rules",
        title="Rules in force",
        description="The rules document of an environment as gateways get it: rules, offerings, and the state that "
        "gateways are held to (budgets that are used up, what is switched off).",
        action=loading.ACTION,
        pattern=re.compile(rf"rules/({_ENVIRONMENT})"),
        read=_rules,
    ),
    Template(
        uri=f"{SCHEME}rules/{{environment}}/versions/{{number}}",
        name="rules-version",
        title="A published version of the rules",
        description="Who published and approved it, when and why, its SHA-256 and its content. It never changes.",
        action=loading.ACTION,
        pattern=re.compile(rf"rules/({_ENVIRONMENT})/versions/([0-9]{{1,9}})"),
        read=_version,
    ),
    Template(
        uri=f"{BUDGETS}/{{id}}",
        name="budget",
        title="A budget",
        description="One budget in its present period: limit, use, forecast, limits and crossings. Amounts are decimal "
        "strings in its unit.",
        action="view",
        pattern=re.compile(r"budgets/([0-9]{1,18})"),
        read=_budget,
    ),
)
_ALL_BUDGETS = Template(
    uri=BUDGETS,
    name="budgets",
    title="Budgets",
    description="All budgets that are not retired, each in its present period. Amounts are decimal strings in the "
    "budget's own unit.",
    action="view",
    pattern=re.compile("budgets"),
    read=_budgets,
)


def listed() -> list[Listed]:
    """Return the resources that have an address of their own: budgets, and the rules of each environment. One query."""
    about = _ALL_BUDGETS
    rules = TEMPLATES[0]
    return [
        Listed(uri=about.uri, name=about.name, title=about.title, description=about.description),
        *(
            Listed(
                uri=f"{SCHEME}rules/{one.name}",
                name=f"rules of {one.name}",
                title=f"Rules in force in {one.name}, version {one.version}",
                description=rules.description,
            )
            for one in loading.pointers()
        ),
    ]


def read(uri: str, caller: Caller, at: datetime) -> str:
    """Return what is at an address, JSON.

    Raises:
        NotFound: nothing is.
        Forbidden: the caller may not read it.
    """
    path = uri.removeprefix(SCHEME)
    for template in (_ALL_BUDGETS, *TEMPLATES):
        found = template.pattern.fullmatch(path) if path != uri else None
        if found is not None:
            demand(caller, template.action)
            return template.read(found.groups(), at).decode()
    raise NotFound(f"There is nothing at {uri}: see the list of resources and their templates.")
