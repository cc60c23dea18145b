"""Large files are made a few at a time: while its lines are written, each takes one of the few threads of a web server.

All of them together have `AT_ONCE`, so that pages and gateways keep the others. Whoever comes then is told to come
again; a file of few lines is made at once and never refused. Statements that read its lines may take their time
(`core.statements`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from threading import BoundedSemaphore
from typing import Generic, TypeVar

import structlog

from core import statements
from core.errors import LimitReached

NOT_WHOLE = "THIS FILE IS NOT WHOLE: it broke off while it was made. Load it again.\r\n"
AT_ONCE = 2  # of the four threads that a server has (controlplane/rsgi.py)
FEW = 500  # lines
RETRY_SECONDS = 15
log = structlog.get_logger(__name__)
_places = BoundedSemaphore(AT_ONCE)
T = TypeVar("T")


class OthersFirst(LimitReached):
    """As many large files are being made as there is room for."""

    def __init__(self) -> None:
        super().__init__(
            "Other large files are being made just now. Ask again in a moment.", retry_after_seconds=RETRY_SECONDS
        )


class _Place:
    """One of the places; giving it back twice does no harm."""

    def __init__(self) -> None:
        if not _places.acquire(blocking=False):
            raise OthersFirst
        self._held = True

    def give_back(self) -> None:
        if self._held:
            self._held = False
            _places.release()

    def __del__(self) -> None:
        if getattr(self, "_held", False):
            self.give_back()


class Lines(Generic[T]):
    """Lines of a file, with the place that it holds if they are many: until the last, `close`, or nobody wants them."""

    def __init__(self, lines: Iterable[T]) -> None:
        """Ask for the first lines.

        Raises:
            OthersFirst: there are many, and no place is free.
        """
        source = iter(lines)
        statements.lift()
        self._source = source
        self._place: _Place | None = None
        try:
            self._first = deque(islice(source, FEW))
        except BaseException:
            statements.put_back()
            raise
        if len(self._first) == FEW:
            try:
                self._place = _Place()
            except OthersFirst:
                self.close()
                raise

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        try:
            return self._first.popleft() if self._first else next(self._source)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the place back, and let go what the lines are read from; repeating it does no harm."""
        if self._place is not None:
            self._place.give_back()
        let_go = getattr(self._source, "close", None)
        if let_go is not None:
            let_go()
        statements.put_back()


def not_cut(pieces: Iterable[T], ending: T) -> Iterator[T]:
    """Give the pieces of a file that people read as text; where they fail half way, `ending` says that it is not whole.

    Its reader cannot tell otherwise: a stream that breaks off looks like one that ends.
    """
    try:
        yield from pieces
    except Exception:
        log.exception("file.broke_off")
        yield ending
