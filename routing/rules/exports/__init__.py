"""The rules in the forms of gateways that do not poll for them: each a pure function of a version and its state.

A form is a module with a `FORM`: what it can say (`says`, a line of the matrix for every feature), why it cannot say
certain rules (`unfit`), and the text (`render`). What it cannot say is refused by name and never left out in silence.
README.md has the matrix.
"""

from __future__ import annotations

from collections.abc import Mapping

from routing.rules.exports import bifrost, cloudflare, litellm, openclaw, openrouter, vercel
from routing.rules.exports.parts import CODES, FEATURES, Form, Frozen, Limit

FORMS: Mapping[str, Form] = {
    module.FORM.name: module.FORM for module in (litellm, bifrost, cloudflare, openrouter, vercel, openclaw)
}

__all__ = ["CODES", "FEATURES", "FORMS", "Form", "Frozen", "Limit"]
