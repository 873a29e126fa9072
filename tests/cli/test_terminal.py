"""What a terminal sees: a bar where something takes long, and none where nobody wants one."""

from __future__ import annotations

import os
import sys

import pytest

pty = pytest.importorskip("pty", reason="no terminals here")

REPLAY = "replay --results demo --task text-classification --policies halving"
INSPECT = "inspect nowhere.csv"


def terminal(line: str, *, patience: float = 0.0) -> str:
    """All that a terminal is sent by a command of its own."""
    code = (
        f"import hf_select.bars as bars; bars.PATIENCE = {patience}\n"
        f"from hf_select.cli.app import main; main({line.split()!r})"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    os.waitpid(child, 0)
    os.close(terminal)
    return shown.decode(errors="replace")


def test_a_bar_with_what_is_done_and_then_the_answer() -> None:
    shown = terminal(REPLAY)
    assert "replaying" in shown
    assert "/9 selections" in shown
    assert "halving" in shown.rsplit("replaying", 1)[1]  # the table comes last


@pytest.mark.parametrize("flag", ["--json", "--quiet"])
def test_no_bar_where_it_is_not_wanted(flag: str) -> None:
    shown = terminal(f"{REPLAY} {flag}")
    assert "replaying " not in shown
    assert "/9 selections" not in shown


def test_no_bar_for_what_is_quick() -> None:
    shown = terminal(INSPECT, patience=600)
    assert "reading the target" not in shown
    assert "Error" in shown
