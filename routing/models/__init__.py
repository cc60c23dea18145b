"""The tables of routing, by what they are about."""

from routing.models.fleet import GatewayPoll
from routing.models.proposals import Approval, Contribution, Proposal, ProposalState
from routing.models.switches import Switch, SwitchKind
from routing.models.versions import Environment, StateRevision, Version

__all__ = [
    "Approval",
    "Contribution",
    "Environment",
    "GatewayPoll",
    "Proposal",
    "ProposalState",
    "StateRevision",
    "Switch",
    "SwitchKind",
    "Version",
]
