"""The demo's gateways as they ask for rules, while the demo runs: nobody else polls for a made-up company.

What a poll leaves behind is written as the web process writes what it hears of real gateways (`routing.serving.polls`).
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import F

from catalog.models import Gateway, GatewayKey
from controlplane.seed import company, story
from routing.serving import loading
from routing.serving.documents import Served
from routing.serving.polls import Polls
from routing.serving.reports import Pair, Report

ENVIRONMENT = "production"
EVERY_SECONDS = 15.0
# Instances of each gateway. Bifrost's rules are fetched by a process beside it.
INSTANCES = {
    story.LITELLM: ("litellm-main-0", "litellm-main-1", "litellm-main-2"),
    story.ROUTER: ("edge-fra", "edge-ham"),
    story.BIFROST: ("bifrost-eu-sidecar",),
}
_CLIENT = "tollkeeper-python/1.0.0"


class Fleet:
    """Gateways of the company that ask once in a while; each says that it runs what it was given the time before."""

    def __init__(self) -> None:
        self._polls = Polls()
        self.served: Served | None = None  # what they have, where anything is in force
        self._runs: dict[tuple[int, str], Pair] = {}

    def ask(self, *, at: datetime) -> int:
        """Poll once for every instance, and return how many polls were written: those that say something new, or did
        not for a minute. Five queries at most, two more where something new is in force.
        """
        served = self._in_force()
        for name, gateway_id in Gateway.objects.filter(name__in=INSTANCES, retired_at=None).values_list("name", "id"):
            for instance in INSTANCES[name]:
                self._polls.note(
                    gateway_id=gateway_id,
                    environment=ENVIRONMENT,
                    report=Report(
                        instance=instance, active=self._runs.get((gateway_id, instance)), spec=1, client=_CLIENT
                    ),
                    if_none_match=None,
                    given=served,
                    at=at.timestamp(),
                    waits=True,
                )
                if served is not None:
                    self._runs[gateway_id, instance] = served.given
        for key_id in _keys():
            self._polls.note_key(key_id, at.timestamp())
        return self._polls.write(now=at.timestamp())

    def _in_force(self) -> Served | None:
        pointer = next(iter(loading.pointers(environment=ENVIRONMENT)), None)
        if pointer is None:
            return None
        if self.served is None or not pointer.is_of(self.served):
            self.served = loading.served(pointer)
        return self.served


def _keys() -> list[int]:
    """Return the keys that the company was given when it was made."""
    found = GatewayKey.objects.filter(
        gateway__name__in=INSTANCES, environment=ENVIRONMENT, key__name=F("gateway__name"),
        key__created_by=f"platform@{company.DOMAIN}", key__revoked_at=None,
    )  # fmt: skip
    return list(found.values_list("key_id", flat=True))
