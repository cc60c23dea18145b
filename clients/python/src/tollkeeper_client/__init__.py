"""Tollkeeper in your process: its routing rules decide here, and what calls used is reported from here.

from tollkeeper_client import Tollkeeper, event_of

with Tollkeeper() as tollkeeper:
    context = {"use_case": "code-review", "task": "code"}
    decision = tollkeeper.decide(context)
    ...  # call decision.model at decision.provider
    tollkeeper.report(event_of(decision, context, usage=response.usage))
"""

from ._version import VERSION as __version__
from .client import Tollkeeper
from .errors import ClientError, NoRules, NotConfigured
from .events import event_of, new_id
from .rules.evaluator import Decision
from .status import Status

__all__ = [
    "ClientError",
    "Decision",
    "NoRules",
    "NotConfigured",
    "Status",
    "Tollkeeper",
    "__version__",
    "event_of",
    "new_id",
]
