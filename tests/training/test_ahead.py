"""What is made ahead: in order, once, and not past the end."""

import threading

import pytest

from hf_select.training.ahead import Ahead


def recorded(made):
    def make(step):
        made.append((step, threading.current_thread() is threading.main_thread()))
        return 10 * step

    return make


def test_nothing_is_made_ahead_without_a_depth():
    made = []
    with Ahead(recorded(made), 9, depth=0) as ahead:
        assert [ahead.get(3), ahead.get(4)] == [30, 40]
    assert made == [(3, True), (4, True)]


def test_the_next_ones_are_made_in_a_thread_in_order_and_once():
    made = []
    with Ahead(recorded(made), 6, depth=2) as ahead:
        assert [ahead.get(step) for step in range(1, 6)] == [10, 20, 30, 40, 50]
    assert made == [(step, False) for step in range(1, 6)]


def test_what_was_forgotten_is_made_again():
    made = []
    with Ahead(recorded(made), 6, depth=2) as ahead:
        ahead.get(0)
        ahead.forget()
        count = len(made)
        assert ahead.get(0) == 0
        assert ahead.get(1) == 10
        assert [step for step, _ in made[count:]][:2] == [0, 1]


def test_an_error_is_raised_where_the_result_is_asked_for():
    def make(step):
        if step == 1:
            raise MemoryError("step 1")
        return step

    with Ahead(make, 6, depth=2) as ahead:
        assert ahead.get(0) == 0
        with pytest.raises(MemoryError, match="step 1"):
            ahead.get(1)
        ahead.forget()
        assert ahead.get(2) == 2


def test_the_thread_ends_with_the_block():
    before = threading.active_count()
    with Ahead(lambda step: step, 9, depth=3) as ahead:
        ahead.get(0)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
