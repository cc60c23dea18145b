"""What people fill in about prices, contracts and hours. What may stand in a field is decided by the services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from catalog.models import Meter
from core import periods
from dashboards.forms import NOT_A_NUMBER, AmountField, Told

# In the order of a provider's price page: what is nearly always priced first.
METERS: tuple[str, ...] = (
    Meter.UNCACHED_INPUT, Meter.CACHE_READ, Meter.CACHE_WRITE_5M, Meter.CACHE_WRITE_1H, Meter.OUTPUT,
    Meter.AUDIO_INPUT, Meter.AUDIO_OUTPUT, Meter.IMAGE_INPUT, Meter.IMAGE_OUTPUT, Meter.REQUESTS, Meter.WEB_SEARCHES,
)  # fmt: skip
USUAL = METERS[:5]
LARGEST_CONTEXT = 2_000_000_000
_LONGEST = 15  # digits before the point

_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})(?:[ T](?P<time>\d{2}:\d{2}(?::\d{2})?)(?P<offset>Z|[+-]\d{2}:\d{2})?)?", re.ASCII
)
_YEARS = range(2000, 2200)


class MomentField(forms.CharField):
    """A day (from its start) or a moment on the clock of a zone: 2026-11-01, 2026-11-01 14:30, or with an offset."""

    zone = "UTC"  # set by the form
    no_year = "That is no year in which prices hold."

    def __init__(self, **given: Any) -> None:
        super().__init__(
            required=False, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}), **given
        )

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value).strip()
        return moment(text, self.zone, no_year=self.no_year) if text else None


def moment(text: str, zone: str, *, no_year: str = MomentField.no_year) -> datetime:
    """Return the instant (UTC) that is meant by a day or a moment on a zone's clock.

    Raises:
        ValidationError: it is none, or the clock shows it never or twice.
    """
    found = _MOMENT.fullmatch(text)
    wrong = forms.ValidationError("Write a day as 2026-11-01, or a moment as 2026-11-01 14:30.")
    if found is None:
        raise wrong
    try:
        day = date.fromisoformat(found["day"])
        if day.year not in _YEARS:
            raise forms.ValidationError(no_year)
        if found["time"] is None:
            return periods.day_start(day, zone)
        written = datetime.fromisoformat(f"{found['day']}T{found['time']}{found['offset'] or ''}")
    except ValueError:
        raise wrong from None
    if written.tzinfo is not None:
        return written.astimezone(UTC)
    local = written.replace(tzinfo=ZoneInfo(zone))
    if local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != written:
        raise forms.ValidationError(f"The clocks of {zone} skip that moment.")
    if local.replace(fold=1).utcoffset() != local.utcoffset():
        raise forms.ValidationError(f"The clocks of {zone} show that moment twice: add an offset, such as +01:00.")
    return local.astimezone(UTC)


def written(instant: datetime | None, zone: str) -> str:
    """Return an instant as a `MomentField` reads it: the day alone where it is its start."""
    if instant is None:
        return ""
    local = instant.astimezone(ZoneInfo(zone))
    if periods.day_start(local.date(), zone) == instant:
        return f"{local:%Y-%m-%d}"
    seconds = ":%S" if local.second else ""
    twice = local.replace(fold=1).utcoffset() != local.replace(fold=0).utcoffset()
    return local.strftime(f"%Y-%m-%d %H:%M{seconds}") + (local.isoformat()[-6:] if twice else "")


class Timed(Told):
    """A form with a time, on the clock of the organisation's zone."""

    at_field = {"approved_by": "note", "currency": "note", "meter": ""}

    def __init__(self, *args: Any, zone: str, **given: Any) -> None:
        super().__init__(*args, **given)
        for one in self.fields.values():
            if isinstance(one, MomentField):
                one.zone = zone

    def show(self, problems: Iterable[tuple[str, str]]) -> None:
        super().show(dict.fromkeys(problems))  # several prices may lack the same


class Metered(Timed):
    """A form with a field for the price of each meter, as `usd_METER`. One that is left empty is not said."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        for meter in METERS:
            label = str(Meter(meter).label)
            field = AmountField(required=False, label=label[0].upper() + label[1:])
            # The table is fetched anew when a day or a term changes: what is typed until it comes must not be lost.
            field.widget.attrs["hx-preserve"] = "true"
            self.fields[f"usd_{meter}"] = field

    @property
    def typed(self) -> dict[str, Decimal]:
        """Return what was typed, by meter; what is no number is NaN, and so is one too long to be reckoned with."""
        typed = {m: self.cleaned_data[f"usd_{m}"] for m in METERS if self.data.get(f"usd_{m}", "").strip()}
        return {meter: usd if usd.adjusted() < _LONGEST else NOT_A_NUMBER for meter, usd in typed.items()}


class PriceForm(Metered):
    offering = forms.CharField(
        required=False, max_length=193, label="Offering", widget=forms.TextInput(attrs={"list": "offerings"}),
        help_text="A model at a provider, such as gpt-5.5@openai",
    )  # fmt: skip
    valid_from = MomentField(label="From", help_text="A day, or a moment as 2026-11-01 14:30. Empty: from now on")
    valid_until = MomentField(label="Until", help_text="When it ends: that day is not part of it. Empty: open end")
    context_over = AmountField(
        required=False, label="Context tier, tokens of input", help_text="Only requests with more input. Empty: all"
    )
    context_inclusive = forms.BooleanField(required=False, label="A request of exactly so many belongs to the tier")
    service_tier = forms.CharField(
        required=False, max_length=16, label="Service tier", widget=forms.TextInput(attrs={"list": "service-tiers"}),
        help_text="As calls report it, such as batch. Empty: standard",
    )  # fmt: skip
    region = forms.CharField(
        required=False, max_length=32, label="Region", widget=forms.TextInput(attrs={"list": "regions"}),
        help_text="Of offerings in that region only. Empty: any",
    )  # fmt: skip
    hours = forms.TypedChoiceField(required=False, label="Hours of the day", coerce=int, empty_value=None)
    contract = forms.TypedChoiceField(required=False, label="List or contract", coerce=int, empty_value=None)
    source = forms.CharField(
        required=False, max_length=64, label="Source", help_text="Such as: provider's page, invoice, contract"
    )
    source_version = forms.CharField(
        required=False, max_length=64, label="Version of the source", help_text="Such as: 2026-11, invoice 4711"
    )
    source_url = forms.URLField(required=False, max_length=500, label="Address", assume_scheme="https")
    note = forms.CharField(
        required=False, max_length=2000, label="Note", help_text="Why: kept with the prices and in the audit trail"
    )

    def __init__(
        self,
        *args: Any,
        hours: Sequence[tuple[int, str]],
        contracts: Sequence[tuple[int, str]],
        **given: Any,
    ) -> None:
        super().__init__(*args, **given)
        self.fields["hours"].choices = [("", "any hour"), *hours]  # type: ignore[attr-defined]
        self.fields["contract"].choices = [("", "list price"), *contracts]  # type: ignore[attr-defined]

    def clean_context_over(self) -> int | None:
        if not self.data.get("context_over", "").strip():
            return None
        return whole_tokens(self.cleaned_data["context_over"])


def whole_tokens(value: Decimal) -> int:
    """Return a number of tokens.

    Raises:
        ValidationError: it is none that a context has.
    """
    if not value.is_finite() or value != int(value) or not 0 < value <= LARGEST_CONTEXT:
        raise forms.ValidationError("A whole number of tokens, such as 200,000.")
    return int(value)


class PercentField(AmountField):
    """A per cent, with or without its sign."""

    def clean(self, value: Any) -> Decimal:
        return super().clean(str(value or "").strip().removesuffix("%"))


class TermsForm(Timed):
    """What a contract says from a time on."""

    discount_percent = PercentField(
        required=False, label="Discount on list, per cent", help_text="Such as 12.5. Empty: only its own prices count"
    )
    valid_from = MomentField(label="From", help_text="A day, or a moment as 2026-11-01 14:30. Empty: from now on")
    valid_until = MomentField(label="Until", help_text="When it ends: that day is not part of it. Empty: open end")
    note = forms.CharField(
        required=False, max_length=2000, label="Note", help_text="Why: kept with the contract and in the audit trail"
    )

    @property
    def discount(self) -> Decimal | None:
        given = self.data.get("discount_percent", "").strip()
        return self.cleaned_data["discount_percent"] if given else None


class ContractForm(Metered, TermsForm):
    """A new contract: whom it is with, a discount, and prices of its own for one offering."""

    at_field = {**Timed.at_field, "offering": "with_offering", "own_prices": "own_offering"}

    name = forms.CharField(required=False, max_length=128, label="Name", help_text="Such as: Anthropic 2027")
    provider = forms.ChoiceField(required=False, label="With a provider")
    with_offering = forms.CharField(
        required=False, max_length=193, label="or for an offering",
        widget=forms.TextInput(attrs={"list": "offerings"}),
    )  # fmt: skip
    gateway = forms.ChoiceField(required=False, label="or with a gateway")
    own_offering = forms.CharField(
        required=False, max_length=193, label="Offering", widget=forms.TextInput(attrs={"list": "offerings"}),
        help_text="Empty: the one that the contract is for",
    )  # fmt: skip
    source = forms.CharField(required=False, max_length=64, label="Source of these prices", initial="contract")
    source_url = forms.URLField(required=False, max_length=500, label="Address", assume_scheme="https")

    def __init__(self, *args: Any, providers: Sequence[str], gateways: Sequence[str], **given: Any) -> None:
        super().__init__(*args, **given)
        self.fields["provider"].choices = [("", "none"), *((one, one) for one in providers)]  # type: ignore[attr-defined]
        self.fields["gateway"].choices = [("", "none"), *((one, one) for one in gateways)]  # type: ignore[attr-defined]


class EndForm(Timed):
    at_field = {**Timed.at_field, "valid_until": "ends_at"}

    ends_at = MomentField(label="Ends", help_text="That day is not part of it any more. Empty: now")
    note = forms.CharField(required=False, max_length=2000, label="Note", help_text="Why: kept in the audit trail")


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class HoursForm(Told):
    name = forms.CharField(required=False, max_length=64, label="Name", help_text="Such as: deepseek-off-peak")
    zone = forms.CharField(
        required=False, max_length=64, label="Zone", initial="UTC", help_text="On whose clock, such as Asia/Shanghai"
    )
    weekdays = forms.TypedMultipleChoiceField(
        required=False, label="Days on which they begin", choices=list(enumerate(WEEKDAYS)), coerce=int,
        initial=list(range(7)), widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )  # fmt: skip
    starts = forms.TimeField(required=False, label="From", widget=forms.TimeInput(attrs={"type": "time"}))
    ends = forms.TimeField(
        required=False, label="Until", widget=forms.TimeInput(attrs={"type": "time"}),
        help_text="Not after the beginning: until that time of the next day",
    )  # fmt: skip


class UploadForm(Told):
    """A table of prices from a file."""

    source = forms.ChoiceField(
        label="What it is", choices=[("litellm", "LiteLLM's table (JSON)"), ("csv", "A table of your own (CSV)")]
    )
    file = forms.FileField(
        required=False, allow_empty_file=True, max_length=200, label="File",
        widget=forms.FileInput(attrs={"accept": ".json,.csv,text/csv,application/json"}),
    )  # fmt: skip
    accept_shrunk = forms.BooleanField(required=False, label="Take it though it lists far fewer models than before")


class SettleForm(Told):
    """What a person says of proposals. Which ones are chosen is read by the view."""

    at_field = {"ids": "", "note": "reason"}

    reason = forms.CharField(
        required=False, max_length=2000, label="Reason", help_text="Kept with the prices' audit trail"
    )
