"""Wire formats: bodies that gateways send, read into neutral events.

A format is a module with a `parse` as `contract.Format` describes it, and a line here. Nothing else knows its
name.
"""

from usage.formats import cloudflare_logs, csv_events, litellm, native, otlp, promptlayer, spend_logs
from usage.formats.contract import Format, FormatSettings
from usage.formats.files import FileFormat

FORMATS: dict[str, Format] = {
    "native": native.parse,
    "litellm": litellm.parse,
    "otlp": otlp.parse,
    "promptlayer": promptlayer.parse,
}

# Files of events: what is imported by a person, and has no gateway that sends it as it is.
FILE_FORMATS: dict[str, FileFormat] = {
    "spend-logs": spend_logs.FILE,
    "cloudflare-logs": cloudflare_logs.FILE,
    "csv": csv_events.FILE,
    "native": FileFormat(title="Tollkeeper's own events", about="As POST usage/events takes them.", parse=native.parse),
    "litellm": FileFormat(title="LiteLLM's callback", about="What its callbacks log.", parse=litellm.parse),
    "otlp": FileFormat(
        title="OpenTelemetry traces (JSON lines)",
        about="What a collector's file exporter writes: a body in each line.",
        parse=otlp.parse,
        whole=True,
    ),
}

__all__ = ["FILE_FORMATS", "FORMATS", "FileFormat", "Format", "FormatSettings"]
