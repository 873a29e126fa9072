"""hf_select.progress and hf_select.bars: what stages tell, and which of it is drawn."""

from __future__ import annotations

import io
import time
from threading import Thread

import pytest
from rich.console import Console

from hf_select import bars as drawing
from hf_select.bars import Bars, amount, bars, in_time
from hf_select.progress import Step, listening, stage


def test_a_stage_tells_how_far_it_is() -> None:
    seen: list[Step] = []
    with listening(seen.append), stage("looking", total=3, unit="models") as at:
        at.advance(detail="a")
        at.reach(3)
    assert [(s.done, s.total, s.detail, s.ended) for s in seen] == [
        (0, 3, "", False),
        (1, 3, "a", False),
        (3, 3, "", False),
        (3, 3, "", True),
    ]
    assert len({s.stage for s in seen}) == 1


def test_nobody_listens_unless_asked_and_not_behind_the_block() -> None:
    seen: list[Step] = []
    with stage("alone") as at:
        at.advance()
        assert not at.heard
    with listening(seen.append):
        pass
    with stage("later"):
        pass
    assert seen == []


def test_a_stage_that_fails_is_over() -> None:
    seen: list[Step] = []
    with pytest.raises(ValueError, match="bad"), listening(seen.append), stage("failing"):
        raise ValueError("bad")
    assert seen[-1].ended


def test_what_takes_more_than_was_expected_has_no_known_end() -> None:
    seen: list[Step] = []
    with listening(seen.append), stage("choosing", total=2) as at:
        at.reach(2)
        at.reach(2.5)
    assert [s.total for s in seen] == [2, 2, None, None]


def test_threads_advance_the_stage_that_they_were_given() -> None:
    seen: list[Step] = []

    def work() -> None:
        for _ in range(200):
            at.advance()

    with listening(seen.append), stage("shared", total=800) as at:
        threads = [Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen[-1].done == 800


def test_a_stage_decorates_a_function() -> None:
    seen: list[Step] = []

    @stage("folding")
    def fold(number: int) -> int:
        return number + 1

    with listening(seen.append):
        assert (fold(1), fold(2)) == (2, 3)
    assert [s.ended for s in seen] == [False, True, False, True]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_short_stage_draws_nothing(console: Console) -> None:
    with bars(console), stage("quick", total=2) as at:
        at.advance()
    assert written(console) == ""


def test_a_long_one_is_drawn_with_names_as_they_are(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "PATIENCE", 0.02)
    with bars(console) as shown, stage("looking at models", total=4, unit="models") as at:
        at.advance(detail="[red]a/b[/]")
        deadline = time.monotonic() + 10
        while not shown._tasks and time.monotonic() < deadline:
            time.sleep(0.01)
        at.advance(detail="[red]c/d[/]")
        time.sleep(0.2)
        at.advance()
    drawn = written(console)
    assert "looking at models" in drawn
    assert "[red]c/d[/]" in drawn
    assert "/4 models" in drawn
    assert shown._drawn is None


def test_where_a_table_is_drawn_no_bar_appears(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "PATIENCE", 0.0)
    shown = Bars(console)
    shown.give_way()
    with listening(shown), stage("behind it", total=2):
        time.sleep(0.1)
    assert written(console) == ""


def test_amounts_and_times() -> None:
    assert amount(1200, 13_000, "models") == "1,200/13,000 models"
    assert amount(2.5e6, None, "bytes") == "2.5 MB"
    assert amount(0, None, "") == ""
    assert [in_time(s) for s in (0.4, 89, 91, 5400)] == ["0 s", "89 s", "2 min", "1.5 h"]
