"""The demo's company: a parcel carrier with five teams, twelve use cases and three gateways.

All of it is invented, and so are the passwords: they are printed by `make demo` and are for a demo only.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from controlplane.seed.story import BATCH, BIFROST, LITELLM, REVIEW, ROUTER, SUPPORT

NAME = "Nordlicht Parcel"
ZONE = "Europe/Berlin"
DOMAIN = "nordlicht.example"
PASSWORD = "tollkeeper-demo"  # noqa: S105 (a demo's, and printed)
BY = "demo"


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    login: str
    roles: tuple[str, ...]

    @property
    def email(self) -> str:
        return f"{self.login}@{DOMAIN}"


PEOPLE = (
    Person("Ada Lindqvist", "admin", ("admin",)),
    Person("Jonas Weber", "finance", ("finance",)),
    Person("Mei Tanaka", "engineer", ("engineer",)),
    Person("Samir Haddad", "approver", ("approver",)),
    Person("Paulina Nowak", "platform", ("platform",)),
    Person("Otto Brandt", "viewer", ("viewer",)),
)
SIGN_IN = PEOPLE[0]

CHANNEL, ON_CALL = "Finance by e-mail", "Engineering on call"
GATEWAYS = ((LITELLM, "litellm"), (ROUTER, "native"), (BIFROST, "bifrost"))

# Team -> its use cases with title and owner.
TEAMS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "Customer Care": (
        (SUPPORT, "Answers customers and routes their requests", "lena.hofmann"),
        ("support-drafts", "Drafts replies for agents", "lena.hofmann"),
        ("call-summaries", "Summarises calls to the hotline", "tomas.eriksson"),
    ),
    "Engineering": (
        (REVIEW, "Reviews pull requests", "mei.tanaka"),
        ("coding-agent", "Writes and changes code", "mei.tanaka"),
        ("test-generation", "Writes tests", "arjun.rao"),
    ),
    "Logistics": (
        ("address-parsing", "Reads addresses from labels and imports", "ines.duarte"),
        ("route-planning", "Proposes delivery tours", "ines.duarte"),
    ),
    "Finance & Legal": (
        (BATCH, "Reads invoices overnight", "jonas.weber"),
        ("contract-analysis", "Compares contracts with our terms", "klara.vogt"),
    ),
    "Growth": (
        ("campaign-copy", "Writes newsletters and landing pages", "noor.aziz"),
        ("knowledge-search", "Answers from the intranet and the help centre", "noor.aziz"),
    ),
}


@dataclass(frozen=True, slots=True)
class OwnModel:
    """An open model on the company's own machines, with the rate that finance worked out for them."""

    model: str
    lab: str
    alias: str
    context_tokens: int
    input_usd_per_1m: Decimal
    output_usd_per_1m: Decimal


OWN_MODELS = (
    OwnModel("qwen3.6-35b-a3b", "Alibaba", "Qwen/Qwen3.6-35B-A3B", 262_144, Decimal("0.06"), Decimal("0.24")),
    OwnModel("llama-4-scout", "Meta", "meta-llama/Llama-4-Scout", 10_000_000, Decimal("0.05"), Decimal("0.20")),
)

# In the middle of the story this offering became a third cheaper: two thirds of each price per token remain.
CUT_OFFERING = "claude-sonnet-4.6@anthropic"
CUT_TO = Decimal(2) / 3

# Terms that finance negotiated, and a price that an invoice put right.
CONTRACT, CONTRACT_PROVIDER, CONTRACT_DISCOUNT = "Anthropic framework agreement", "anthropic", Decimal("7.5")
INVOICED_OFFERING, INVOICED_AT, INVOICE = "gemini-3-flash@google", Decimal("1.2"), "invoice"

# Limits that do not follow from the story's own volume, for 200,000 events in three months. A month uses about half of
# them, so that none but the support budget's is passed in the present month, in a small story either.
WHOLE_USD_PER_MONTH = Decimal(23_000)
GROWTH_USD_PER_MONTH = Decimal(300)
