"""Words for kinds of alerts, in templates."""

from __future__ import annotations

from django import template

from dashboards import alerts_words

register = template.Library()
register.filter("kind_words", alerts_words.kind_words)
register.filter("severity_tone", alerts_words.severity_tone)
