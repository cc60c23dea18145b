"""Static files under their plain names: the manifest is made by collectstatic, which tests do not need."""

from __future__ import annotations

from functools import cache

from django.contrib.staticfiles.storage import StaticFilesStorage


class PlainNames(StaticFilesStorage):
    # A page asks for a hundred icons, and each would be joined to its address anew.
    url = cache(StaticFilesStorage.url)
