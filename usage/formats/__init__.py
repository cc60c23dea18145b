"""Wire formats: bodies that gateways send, read into neutral events.

A format is a module with a `parse` as `contract.Format` describes it, and a line here. Nothing else knows its
name.
"""

from usage.formats import litellm, native
from usage.formats.contract import Format, FormatSettings

FORMATS: dict[str, Format] = {
    "native": native.parse,
    "litellm": litellm.parse,
}

__all__ = ["FORMATS", "Format", "FormatSettings"]
