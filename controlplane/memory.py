"""How long-running processes treat garbage: what was loaded at the start is never looked through again.

A body of a thousand events makes some ten thousand objects, which would have the collector walk through all of Django
several times for each body. Without that walk the edge and the workers book about a tenth more.
"""

from __future__ import annotations

import gc


def settle() -> None:
    """Call it once a process has loaded what it needs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
