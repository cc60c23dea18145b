"""What people fill in to import a file of events, and to confirm what was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.urls import reverse

from dashboards.forms import Told
from dashboards.forms_prices import MomentField
from usage.formats import FILE_FORMATS
from usage.formats.csv_events import DEFAULT_ZONE, FIELDS, NEEDED

# What nearly every table has; the other fields are asked for on demand.
USUAL = (
    "time", "model", "provider", "id", "use_case", "input_tokens", "cache_read_input_tokens", "output_tokens",
    "reported_cost_usd", "latency_ms", "status", "team",
)  # fmt: skip
COLUMN = "column_"


class ImportForm(Told):
    """A file of events and, where it is a table, what its columns hold."""

    at_field = {"mapping": "file", "options": "file", "zone": "zone", **{field: f"{COLUMN}{field}" for field in FIELDS}}

    gateway = forms.ChoiceField(label="Gateway", help_text="Whose calls these are")
    format = forms.ChoiceField(
        label="What it is", choices=[(name, one.title) for name, one in FILE_FORMATS.items()],
        help_text="Where each comes from stands below",
    )  # fmt: skip
    file = forms.FileField(
        required=False, allow_empty_file=True, max_length=200, label="File", help_text="Plain, gzip or zstd"
    )
    environment = forms.CharField(
        required=False, max_length=64, label="Environment", initial="production", help_text="Where the calls were made"
    )
    zone = forms.CharField(
        required=False, max_length=64, label="Clock of its times", initial=DEFAULT_ZONE,
        help_text="The zone of times without an offset, such as Europe/Berlin",
    )  # fmt: skip

    def __init__(
        self, *args: Any, gateways: Sequence[str], columns: Sequence[str] = (), guessed: Any = None, **given: Any
    ) -> None:
        super().__init__(*args, **given)
        self.fields["gateway"].choices = [(one, one) for one in gateways]  # type: ignore[attr-defined]
        # Only a table is asked what its columns hold; the file stays where it is chosen.
        self.fields["format"].widget.attrs |= {
            "hx-post": reverse("usage-imports-columns"), "hx-params": "format,csrfmiddlewaretoken",
            "hx-target": "#columns", "hx-swap": "outerHTML",
        }  # fmt: skip
        for field, (title, about) in FIELDS.items():
            self.fields[f"{COLUMN}{field}"] = forms.ChoiceField(
                required=False,
                label=f"{title} (needed)" if field in NEEDED else title,
                help_text=about,
                choices=[("", "no column"), *((column, column) for column in columns)],
                initial=(guessed or {}).get(field, ""),
            )

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of a table as they were chosen; none where nothing was."""
        chosen = {field: self.cleaned_data.get(f"{COLUMN}{field}", "") for field in FIELDS}
        columns = {field: column for field, column in chosen.items() if column}
        zone = self.cleaned_data.get("zone", "").strip()
        return {"columns": columns, "zone": zone or DEFAULT_ZONE}

    @property
    def usual(self) -> Sequence[Any]:
        return [self[f"{COLUMN}{field}"] for field in USUAL]

    @property
    def others(self) -> Sequence[Any]:
        return [self[f"{COLUMN}{field}"] for field in FIELDS if field not in USUAL]

    @property
    def others_matter(self) -> bool:
        """Say whether one of the rarer fields has a column or a fault, and so is not to be folded away."""
        return any(field.value() or field.errors for field in self.others)

    def show(self, problems: Iterable[tuple[str, str]]) -> None:
        super().show(dict.fromkeys(problems))


class ConfirmForm(Told):
    """The range of an import, and whether it counts."""

    ids = "confirm_%s"

    since = MomentField(label="From", help_text="A day, or a moment as 2026-11-01 14:30")
    until = MomentField(label="Until", help_text="That day or moment is not part of it")
    audit = forms.ChoiceField(
        label="What it is for",
        choices=[("", "Count it: spend, budgets and charts"), ("audit", "Audit only: kept, and in no sum")],
        required=False,
    )
    note = forms.CharField(
        required=False, max_length=200, label="Note", help_text="Kept with the import and in the audit trail"
    )

    def __init__(self, *args: Any, zone: str, **given: Any) -> None:
        super().__init__(*args, **given)
        for field in self.fields.values():
            if isinstance(field, MomentField):
                field.zone = zone

    def covers(self) -> tuple[datetime | None, datetime | None]:
        """Return the range that was chosen; an end that was left empty is None."""
        return self.cleaned_data["since"], self.cleaned_data["until"]
