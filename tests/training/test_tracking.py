"""Curves in a tracker: what is in its files, and that nothing but the answer is on stdout."""

import json
import sqlite3
import subprocess
import sys

import pytest
import tinytrial

from hf_select.errors import InputError, UnknownNameError
from hf_select.records import NAN
from hf_select.training import tracking
from hf_select.training.events import BenchmarkEvent
from hf_select.training.tracking import PER_EPOCH, Tracking, check_tracker

RECIPE = tinytrial.RECIPE


def events():
    """A cell that is resumed, another one beside it that fails, and a look."""
    for kind, values in (
        ("start", {}),
        ("point", {"epoch": 0.5, "val": 0.25, "train_loss": 0.7}),
        ("start", {"model": "b"}),
        ("start", {"epoch": 0.5}),
        ("look", {"seed": None}),
        ("point", {"epoch": 1.0, "val": 0.75, "val_loss": 0.3, "train_loss": 0.4}),
        ("failed", {"model": "b", "status": "diverged"}),
        ("done", {"test": 0.5}),
    ):
        facts = {"key": "k", "model": "org/a", "dataset": "d", "seed": 0, **values}
        yield BenchmarkEvent(kind, **facts)


def test_a_run_of_tensorboard_a_cell(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = Tracking("tensorboard", tmp_path)
    for event in events():
        log.follow(event, RECIPE)
    log.close()
    found = EventAccumulator(str(tmp_path / "org--a_on_d,_seed_0"))
    found.Reload()
    read = {
        name: [(e.step, round(e.value, 6)) for e in found.Scalars(name)]
        for name in ("val", "test", "train_loss", "val_loss")
    }
    assert read == {
        "val": [(PER_EPOCH // 2, 0.25), (PER_EPOCH, 0.75)],
        "test": [(2 * PER_EPOCH, 0.5)],
        "train_loss": [(PER_EPOCH // 2, 0.7), (PER_EPOCH, 0.4)],
        "val_loss": [(PER_EPOCH, 0.3)],
    }


def test_runs_of_trackio_side_by_side_and_a_clean_stdout(tmp_path):
    pytest.importorskip("trackio")
    script = """
        import json, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        import test_tracking as t
        log = t.Tracking("trackio", Path(sys.argv[2]))
        for event in t.events():
            log.follow(event, t.RECIPE)
        log.close()
        print(json.dumps({"answer": 1}))
    """
    import os
    import textwrap
    from pathlib import Path

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(Path(__file__).parent), str(tmp_path)],
        env={**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"answer": 1}
    (database,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(database) as opened:
        rows = opened.execute("select run_name, step, metrics from metrics order by id").fetchall()
    mine = [(step, json.loads(text)) for name, step, text in rows if name.startswith("org/a")]
    assert [(step, values.get("val"), values.get("test")) for step, values in mine] == [
        (PER_EPOCH // 2, 0.25, None),
        (PER_EPOCH, 0.75, None),
        (2 * PER_EPOCH, None, 0.5),
    ]


def test_what_was_not_measured_is_not_logged(tmp_path):
    pytest.importorskip("tensorboard")
    log = Tracking("tensorboard", tmp_path)
    log.log("never begun", 1.0, val=0.5)
    log.start("a", {})
    log.log("a", 1.0, val=NAN)
    log.close()


def test_an_unknown_tracker_and_one_that_is_not_there(monkeypatch):
    check_tracker(None)
    with pytest.raises(UnknownNameError, match="unknown tracker 'tensorbord'"):
        check_tracker("tensorbord")
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="isn't installed") as error:
        check_tracker("wandb")
    assert error.value.hint == "pip install wandb"


def test_the_state_of_accelerate_is_left_as_it_was(tmp_path):
    """Else a training after it, in the same process, would be on the CPU."""
    pytest.importorskip("tensorboard")
    from accelerate import PartialState

    PartialState._reset_state()
    Tracking("tensorboard", tmp_path).close()
    assert not PartialState._shared_state
