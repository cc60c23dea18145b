"""What people fill in. What may stand in a field is decided by the service; a form only reads what was typed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django import forms

NOT_A_NUMBER = Decimal("NaN")  # refused by every service
_NUMBER = re.compile(r"(\d+|\d{1,3}(,\d{3})+)(\.\d+)?", re.ASCII)


class AmountField(forms.CharField):
    """A number as people write it: 2,000,000 or 1250.50. Anything else becomes NaN, which the service refuses."""

    def __init__(self, **given: Any) -> None:
        super().__init__(widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}), **given)

    def clean(self, value: Any) -> Decimal:
        text = super().clean(value).replace(" ", "").replace("\N{NO-BREAK SPACE}", "")
        return Decimal(text.replace(",", "")) if _NUMBER.fullmatch(text) else NOT_A_NUMBER


class Told(forms.Form):
    """A form that shows what a service found, all at once and each at its field."""

    use_required_attribute = False
    ids = "id_%s"  # two forms of one page have fields of one name

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **{"auto_id": self.ids, **given})

    at_field: dict[str, str] = {}

    def show(self, problems: Iterable[tuple[str, str]]) -> None:
        for name, sentence in problems:
            field = self.at_field.get(name, name)
            self.add_error(field if field in self.fields else None, sentence)


class CommentForm(Told):
    text = forms.CharField(required=False, label="Comment", widget=forms.Textarea(attrs={"rows": 3}))
