"""Large files leave room for pages: few are made at once, and each gives its place back however it ends."""

from __future__ import annotations

import pytest

from core.large_files import AT_ONCE, FEW, Lines, OthersFirst


def test_more_large_files_than_there_is_room_for_are_put_off_and_small_ones_are_not():
    made = [Lines(range(FEW)) for _ in range(AT_ONCE)]

    with pytest.raises(OthersFirst):
        Lines(range(FEW))
    assert len(list(Lines(range(FEW - 1)))) == FEW - 1

    assert list(made.pop()) == list(range(FEW))  # the last line is taken
    again = Lines(range(FEW))
    again.close()  # its reader went away
    again.close()
    again = Lines(range(FEW))
    del again  # nobody ever read it
    with pytest.raises(RuntimeError):
        list(Lines(failing()))
    Lines(range(FEW))
    for each in made:
        each.close()


def failing():
    yield from range(FEW)
    raise RuntimeError("the database went away")


def test_what_is_put_off_lets_go_what_it_is_read_from():
    made = [Lines(range(FEW)) for _ in range(AT_ONCE)]
    closed = []

    def source():
        try:
            yield from range(2 * FEW)
        finally:
            closed.append(True)

    with pytest.raises(OthersFirst):
        Lines(source())

    assert closed
    for each in made:
        each.close()
