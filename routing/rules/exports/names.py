"""What gateways call an offering.

A name that the catalogue has for the kind of gateway holds. Where it has none a name is derived, for providers whose
names are the same everywhere: gateways that speak a provider's own names take those in LiteLLM's (`provider/name`), and
those with names of their own (`vendor/model`) are told the vendor and our name of the model. What cannot be derived
for sure is refused: a call to a model that is not there is an outage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from routing.rules.document import Problem
from routing.rules.exports.parts import Frozen, candidates


class Named(NamedTuple):
    """An offering as a gateway names it; `provider` is None where the gateway may choose one."""

    provider: str | None
    model: str

    @property
    def slashed(self) -> str:
        return f"{self.provider}/{self.model}" if self.provider else self.model


def native(frozen: Frozen, offering: str, kind: str, providers: Mapping[str, str]) -> Named | None:
    """Return provider and the provider's own name of a model; `providers` is our name of each -> the gateway's."""
    facts = frozen.content["offerings"].get(offering)
    if facts is None:
        return None
    names = facts.get("gateway_names") or {}
    if kind in names:
        provider, slash, model = names[kind].partition("/")
        return Named(provider, model) if slash and provider and model else None
    known = providers.get(facts["provider"])
    _, slash, model = names.get("litellm", "").partition("/")
    return Named(known, model) if known and slash and model else None


def slug(
    frozen: Frozen, offering: str, kind: str, vendors: Mapping[str, str], providers: Mapping[str, str]
) -> Named | None:
    """Return the name `vendor/model` and the provider that it is pinned to.

    `vendors` and `providers` are our name of a provider -> the gateway's name of it as the maker of a model, as a host.
    """
    facts: Mapping[str, Any] | None = frozen.content["offerings"].get(offering)
    if facts is None:
        return None
    names = facts.get("gateway_names") or {}
    ours = facts["provider"]
    if ours == kind:  # the gateway is the provider and chooses the host
        own = names.get(kind) or names.get("litellm", "").removeprefix(f"{kind}/")
        return Named(None, own) if own else None
    if ours not in providers:
        return None
    if kind in names:
        return Named(providers[ours], names[kind])
    return Named(providers[ours], f"{vendors[ours]}/{facts['model']}") if ours in vendors else None


def nameless(frozen: Frozen, title: str, kind: str, named: Mapping[str, Named | None]) -> Iterator[Problem]:
    """Give a reason for every offering that rules may send to and that has no name."""
    places = candidates(frozen)
    for offering, name in named.items():
        if name is None:
            text = f"{offering} has no name in {title}: give it one for gateways of the kind {kind} in the catalogue"
            yield Problem(places[offering], "no_name", text)
