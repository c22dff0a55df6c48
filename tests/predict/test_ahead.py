import threading

import pytest

from genreline.predict.ahead import ahead


def test_items_come_in_their_order():
    assert list(ahead(range(100))) == list(range(100))
    assert list(ahead([])) == []


def test_an_item_is_made_while_the_one_before_it_is_used():
    is_made = threading.Event()

    def items():
        yield 1
        is_made.set()
        yield 2

    for item in ahead(items()):
        if item == 1:
            assert is_made.wait(60)


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        raise ValueError("no more")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="no more"):
        next(found)


def test_a_caller_that_stops_early_leaves_no_thread():
    before = set(threading.enumerate())
    found = ahead(iter(range(10**9)))
    assert next(found) == 0
    found.close()
    assert set(threading.enumerate()) <= before


def test_a_caller_that_stops_early_does_not_wait_for_an_item_that_never_comes(monkeypatch):
    monkeypatch.setattr("genreline.predict.ahead._PATIENCE_S", 0.01)
    comes = threading.Event()

    def items():
        yield 1
        comes.wait(60)

    found = ahead(items())
    assert next(found) == 1
    found.close()
    assert not comes.is_set()
    comes.set()
