"""The demo's gateways ask for rules, and say what they run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.seed.fleet import ENVIRONMENT, INSTANCES, Fleet
from routing.selectors import fleet
from tests.factories import NOON
from tests.routing.making import make_version, stock
from tests.usage.making import make_gateway

ROUND = timedelta(seconds=15)

pytestmark = pytest.mark.django_db


def test_every_gateway_of_the_company_follows_what_is_in_force_by_its_own_word():
    stock()
    make_version(at=NOON - timedelta(days=1))
    for name in INSTANCES:
        make_gateway(name)
    company = Fleet()

    def states(at):
        found = fleet.of(environment=ENVIRONMENT, at=at)
        assert len(found.gateways) == len(INSTANCES)
        return {one.state for one in found.gateways}

    company.ask(at=NOON)
    company.ask(at=NOON + ROUND)
    assert states(NOON + ROUND) == {"current"}

    make_version(at=NOON + ROUND)
    assert company.ask(at=NOON + 2 * ROUND) == 6
    assert states(NOON + 2 * ROUND) == {"updating"}
    assert company.ask(at=NOON + 3 * ROUND) == 6
    assert states(NOON + 3 * ROUND) == {"current"}
    assert company.ask(at=NOON + 4 * ROUND) == 0
