"""How static files are stored: under names that carry their hash, compressed, modules included."""

from __future__ import annotations

from django.contrib.staticfiles.storage import HashedFilesMixin
from whitenoise.storage import CompressedManifestStaticFilesStorage

_IMPORT = r"""(?P<matched>from "(?P<url>\.{1,2}/[^"]+)";)"""


class ModuleStorage(CompressedManifestStaticFilesStorage):
    """Has modules (`.mjs`) import each other by the names that carry hashes.

    Django's own switch for this would look through every `.js`, where what is packed by others may hold anything.
    """

    patterns = (*HashedFilesMixin.patterns, ("*.mjs", ((_IMPORT, 'from "%(url)s";'),)))
