"""The tables of routing, by what they are about."""

from routing.models.fleet import GatewayPoll
from routing.models.orders import Order
from routing.models.proposals import Approval, Contribution, Proposal, ProposalState, Schedule, ScheduleState
from routing.models.switches import Switch, SwitchKind
from routing.models.versions import Environment, StateRevision, Version

__all__ = [
    "Approval",
    "Contribution",
    "Environment",
    "GatewayPoll",
    "Order",
    "Proposal",
    "ProposalState",
    "Schedule",
    "ScheduleState",
    "StateRevision",
    "Switch",
    "SwitchKind",
    "Version",
]
