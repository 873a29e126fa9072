import errno
import gc
import json
import os
import shutil
import subprocess
import sys
import time
import weakref
from dataclasses import replace

import live_script
import numpy as np
import pytest
import tinytrial
import torch

from hf_select.errors import InputError, ModelError, StoppedError, TrialError
from hf_select.metrics import get_metric
from hf_select.records import Drop
from hf_select.selection.policies import Decision
from hf_select.selection.run import run_selection
from hf_select.tasks.text import TextClassification
from hf_select.training import checkpoint, live
from hf_select.training.live import LiveTrials
from hf_select.training.trial import AccelerateTrial

RECIPE = tinytrial.RECIPE
RATES = {"slow": 1e-3, "fast": 1e-2}
NAMES = [f"{model}@{rate}" for model in ("m0", "m1") for rate in RATES]
ROOMY = 10**12


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {m: tinytrial.make_model(folder / m, seed=i) for i, m in enumerate(("m0", "m1"))}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return tinytrial.make_target(tmp_path_factory.mktemp("target") / "words")


@pytest.fixture
def make(folders, target, tmp_path):
    def build(memory=ROOMY, *, folder="trials", **options):
        settings = {
            "seed": 0,
            "checkpoint_every": 1e9,
            "should_stop": lambda: False,
            "recipe_of": recipe_of,
            "early_rows": 8,
            **options,
        }
        return LiveTrials(
            target,
            RECIPE,
            tmp_path / folder,
            lambda name: (folders[name.split("@")[0]], "r1"),
            memory=memory,
            **settings,
        )

    return build


def recipe_of(name):
    return replace(RECIPE, learning_rate=RATES[name.split("@")[1]])


def alone(folders, target, name, **options):
    """The same candidate, trained without a pause and without company."""
    options = {"seed": 0, "revision": "r1", "early_rows": 8, **options}
    folder = folders[name.split("@")[0]]
    return AccelerateTrial(name, folder, target, recipe_of(name), **options)


def weights(trial):
    return {name: tensor.clone() for name, tensor in trial.module.state_dict().items()}


def same_weights(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def same_curve(one, other):
    names = ("epochs", "val", "val_loss", "train_loss")
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


def ladder(state):
    """All to 0.25, 0.5, 1 and 2 epochs; the worst is dropped at 0.5 and at 1."""
    curves = [state.curves.get(m) for m in state.live]
    at = min(0.0 if c is None else float(c.epochs[-1]) for c in curves)
    dropped = ()
    if at in (0.5, 1.0) and len(state.live) > 1:
        worst = min(state.live, key=lambda m: (state.curves[m].val[-1], m))
        dropped = (Drop(worst, "the worst"),)
    live = [m for m in state.live if m not in {d.model for d in dropped}]
    if at >= 2.0 or len(live) == 1:
        best = max(live, key=lambda m: (state.curves[m].val[-1], m))
        return Decision(dropped=dropped, winner=best)
    to = next(r for r in (0.25, 0.5, 1.0, 2.0) if r > at)
    return Decision(dropped=dropped, advance=dict.fromkeys(live, to))


def choose(trials, names=NAMES, *, policy=ladder, on_advance=None, **options):
    return run_selection(
        trials.factories(list(names)),
        policy,
        horizon=2.0,
        metric=get_metric("accuracy"),
        on_rung=lambda rung: [trials.forget(drop.model) for drop in rung.dropped],
        on_advance=on_advance,
        **options,
    )


def awake(trials):
    return [name for name, trial in trials.opened.items() if trial.awake]


# ----------------------------------------------------------------------------- room for some


def test_a_selection_whose_trials_sleep_between_advances_is_the_same_bit_by_bit(
    make, folders, target
):
    seen = {}
    for memory in (0, ROOMY):
        trials, counts = make(memory, folder=str(memory)), []
        result = choose(trials, on_advance=lambda m, c, t=trials, n=counts: n.append(awake(t)))
        seen[memory] = result, counts, weights(trials.opened[result.winner].trial)
    sleepy, roomy = seen[0][0], seen[ROOMY][0]
    assert {len(names) for names in seen[0][1]} == {1}
    assert max(len(names) for names in seen[ROOMY][1]) == 4
    assert sleepy.winner == roomy.winner
    assert sleepy.test == roomy.test
    assert sleepy.curves.keys() == roomy.curves.keys() == set(NAMES)
    assert all(same_curve(sleepy.curves[m], roomy.curves[m]) for m in NAMES)
    straight = alone(folders, target, sleepy.winner)
    straight.advance(2)
    assert same_weights(seen[0][2], weights(straight))
    assert same_weights(seen[ROOMY][2], weights(straight))
    assert sleepy.test == straight.test()


def test_no_step_is_trained_twice_because_a_trial_slept(make, monkeypatch):
    steps, backward = [], AccelerateTrial._backward

    def counted(trial, rows):
        steps.append(trial.model)
        return backward(trial, rows)

    monkeypatch.setattr(AccelerateTrial, "_backward", counted)
    trials = make(0)
    for to in (0.25, 0.3, 1):
        for name in NAMES[:2]:
            (trials.opened.get(name) or trials.open(name)).advance(to)
    assert [steps.count(name) for name in NAMES[:2]] == [7, 7]


def test_the_least_recently_advanced_sleep_first_and_only_as_many_as_it_takes(make):
    trials = make()
    size = trials.open(NAMES[0]).num_bytes
    trials = make(3 * size)
    for name in NAMES[:3]:
        trials.open(name).advance(0.1)
    assert awake(trials) == NAMES[:3]
    trials.opened[NAMES[0]].advance(0.2)
    trials.open(NAMES[3])
    assert awake(trials) == [NAMES[0], NAMES[2], NAMES[3]]
    trials.opened[NAMES[1]].advance(0.3)
    assert awake(trials) == [NAMES[0], NAMES[1], NAMES[3]]


def test_a_trial_that_fills_all_memory_alone_is_trained(make):
    trials = make(1)
    trials.open(NAMES[0]).advance(0.5)
    trials.open(NAMES[1]).advance(0.5)
    assert awake(trials) == [NAMES[1]]


def test_what_needs_a_sleeping_trial_awakens_it_and_what_does_not_lets_it_sleep(make, tmp_path):
    trials = make(0)
    trial = trials.open(NAMES[0])
    curve = trial.advance(2)
    score = trial.test()
    trial.sleep()
    assert trial.curve == trial.advance(2) == trial.advance(1) == curve
    assert (trial.test(), trial.horizon, trial.val_rows(0.5), trial.awake) == (score, 2, 8, False)
    trial.save_pretrained(tmp_path / "saved")
    assert trial.awake
    assert (tmp_path / "saved" / "model.safetensors").is_file()
    trial.sleep()
    fresh = trials.open(NAMES[0])  # by another object, as after a kill
    assert fresh.curve == curve
    assert fresh.test() == score


def test_encoded_rows_are_made_once_however_often_trials_sleep(make, monkeypatch):
    made = []
    encode = TextClassification.encode

    def counted(self, processor, split, **options):
        made.append(len(split))
        return encode(self, processor, split, **options)

    monkeypatch.setattr(TextClassification, "encode", counted)
    trials = make(0)
    for to in (0.25, 0.5):
        for name in NAMES[:2]:
            (trials.opened.get(name) or trials.open(name)).advance(to)
            trials.opened[name].sleep()
            gc.collect()
    assert made == [52, 21]


def test_memory_is_measured_once_when_the_first_trial_is_opened(make, monkeypatch):
    asked = []
    monkeypatch.setattr(live.measure, "for_trials", lambda: asked.append(1) or ROOMY)
    trials = make(None)
    assert not asked
    for name in NAMES[:3]:
        trials.open(name)
    assert asked == [1]
    assert trials.memory == ROOMY


@pytest.mark.parametrize("name", ["memory", "early_rows"])
def test_less_than_nothing_is_refused(make, name):
    with pytest.raises(InputError, match=f"{name} is -1"):
        make(**{name: -1})


@pytest.mark.slow
def test_saving_and_awakening_is_not_counted_as_training(make, monkeypatch):
    write, load = checkpoint.write, AccelerateTrial.load

    def slowly(function):
        def slow(*args, **options):
            time.sleep(0.2)
            return function(*args, **options)

        return slow

    plain = make(folder="plain").open(NAMES[0])
    plain.advance(2)
    monkeypatch.setattr(checkpoint, "write", slowly(write))
    monkeypatch.setattr(AccelerateTrial, "load", slowly(load))
    trial = make(0, checkpoint_every=0).open(NAMES[0])  # saved after every step
    began = time.perf_counter()
    for to in (0.5, 1, 2):
        trial.advance(to)
        trial.sleep()
    assert time.perf_counter() - began > 14 * 0.2
    assert trial.curve.seconds[-1] < plain.curve.seconds[-1] + 0.6


# ------------------------------------------------------------------------------- letting go


def test_a_dropped_candidate_is_gone_at_once(make):
    trials = make()
    trial = trials.open(NAMES[0])
    trial.advance(0.5)
    trial.sleep()
    trial.advance(1)
    others = trials.open(NAMES[1])
    held = [weakref.ref(trial.trial.module), weakref.ref(trial.trial._optimizer)]
    held += [weakref.ref(p) for p in trial.trial.module.parameters()]
    folder = trials._checkpoint(NAMES[0])
    assert list(folder.iterdir())
    trials.forget(NAMES[0])
    assert [r for r in held if r() is not None] == []
    assert not folder.exists()
    assert NAMES[0] not in trials.opened
    trial.close()  # as the selection does, once it hears of the drop
    assert not folder.exists()
    assert len(trial.curve) == 2
    assert others.awake


def test_a_dropped_candidate_leaves_no_checkpoint_even_when_all_has_to_stop(make):
    stopping = []
    trials = make(should_stop=lambda: bool(stopping))
    trial = trials.open(NAMES[0])
    trial.advance(0.5)
    stopping.append(1)
    trials.forget(NAMES[0])
    trial.close()
    assert not trials._checkpoint(NAMES[0]).exists()


def test_two_candidates_of_one_model_never_mix(make, folders, target):
    trials = make(0)
    for to in (0.5, 2):
        for name in NAMES[:2]:
            (trials.opened.get(name) or trials.open(name)).advance(to)
    for name in NAMES[:2]:
        straight = alone(folders, target, name)
        straight.advance(2)
        assert same_curve(trials.opened[name].curve, straight.curve)
        assert same_weights(weights(trials.opened[name].trial), weights(straight))
    one, other = (trials._checkpoint(name) for name in NAMES[:2])
    assert one != other
    trials.forget(NAMES[0])
    assert other.exists()


def test_without_recipes_of_their_own_all_candidates_have_the_one(make):
    trials = make(recipe_of=None)
    assert trials.open(NAMES[0]).trial.recipe == RECIPE


# ---------------------------------------------------------------------- rows that are scored


def test_how_many_rows_a_score_rests_on_is_known_before_any_trial_is_opened(make):
    trials = make()
    trial = trials.open(NAMES[0])
    for epoch, rows in ((0.125, 8), (0.999, 8), (1 - 1e-12, 21), (1, 21), (2, 21)):
        assert trials.val_rows(epoch) == trial.val_rows(epoch) == rows
        assert trial.trial.val_rows(epoch) == rows
    assert make(early_rows=0).val_rows(0.1) == 21
    assert make(early_rows=10**6).val_rows(0.1) == 21
    assert make(early_rows=live.EARLY_ROWS).early_rows == 500


# ------------------------------------------------------------------------------------ faults


def damage(folder):
    for file in folder.rglob("state.pt"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 255
        file.write_bytes(content)


@pytest.mark.parametrize("asked", ["advance", "test", "weights"])
def test_a_sleeping_trial_whose_checkpoint_is_damaged_trains_to_where_it_was(
    make, folders, target, asked
):
    straight = alone(folders, target, NAMES[0])
    for to in (0.3, 1.0):
        straight.advance(to)
    trial = make().open(NAMES[0])
    for to in (0.3, 1.0):
        trial.advance(to)
    curve = trial.curve
    trial.sleep()
    damage(trial.folder)
    if asked == "advance":
        assert same_curve(trial.advance(2), straight.advance(2))
    elif asked == "test":
        assert trial.test() == straight.test()
    assert same_weights(weights(trial.trial), weights(straight))
    assert same_curve(trial.curve.upto(1.0), curve)


@pytest.mark.slow
def test_a_selection_notices_nothing_of_damaged_checkpoints(make):
    expected = choose(make(folder="whole"))
    trials = make(0)
    result = choose(trials, on_advance=lambda model, curve: damage(trials.folder))
    assert result.winner == expected.winner
    assert result.test == expected.test
    assert not result.failed
    assert all(same_curve(result.curves[m], expected.curves[m]) for m in NAMES)


def full(*args, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_drops_who_had_to_sleep_with_the_reason(make, monkeypatch, tmp_path):
    journal = tmp_path / "journal.jsonl"
    trials = make(0)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", full)
        result = choose(trials, NAMES[:2], journal=journal)
    assert [bad.repo_id for bad in result.failed] == [NAMES[0]]
    assert "No space left on device" in result.failed[0].reason
    assert result.winner == NAMES[1]
    # that says nothing about its training, so the same selection tries it again
    again = choose(make(0), NAMES[:2], journal=journal)
    assert not again.failed


def test_a_checkpoint_that_only_guards_against_a_kill_may_fail(make, monkeypatch):
    trial = make(checkpoint_every=0).open(NAMES[0])
    trial.advance(0.5)
    before = [path.name for path in trial.folder.iterdir()]
    monkeypatch.setattr(checkpoint, "write", full)
    assert len(trial.advance(1)) == 2
    assert [path.name for path in trial.folder.iterdir()] == before


def test_asked_to_stop_with_a_full_disk_it_stops(make, monkeypatch):
    trial = make(should_stop=lambda: True).open(NAMES[0])
    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(StoppedError):
        trial.advance(1)
    trial.close()


def test_asked_to_stop_it_goes_on_from_that_very_step(make):
    stopping = []
    trial = make(should_stop=lambda: len(stopping) == 3).open(NAMES[0])
    advance = trial._after_step
    trial.trial.on_step = lambda inner: (stopping.append(1), advance(inner))
    with pytest.raises(StoppedError, match=r"at epoch 0\.43"):
        trial.advance(1)
    assert make().open(NAMES[0]).trial.epochs_trained == pytest.approx(3 / 7)


def test_the_others_are_saved_when_all_has_to_stop_and_only_then(make):
    stopping = []
    trials = make(should_stop=lambda: bool(stopping))
    for name in NAMES[:2]:
        trials.open(name).advance(0.5)
    trials.opened[NAMES[0]].close()
    stopping.append(1)
    trials.opened[NAMES[1]].close()
    assert awake(trials) == []
    assert [len(make().open(name).curve) for name in NAMES[:2]] == [0, 1]


def poisoned(monkeypatch, name, error):
    """One candidate's forward pass raises once it has seen a few batches."""
    load, calls = AccelerateTrial.load, []

    def broken(trial, folder):
        if trial.model == name:
            forward = trial.module.forward

            def raising(*args, **batch):
                calls.append(1)
                if len(calls) > 5:
                    raise error
                return forward(*args, **batch)

            trial.module.forward = raising
        return load(trial, folder)

    monkeypatch.setattr(AccelerateTrial, "load", broken)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("CUDA error: an illegal thing\nmore"), f"failed: {NAMES[1]}: CUDA error"),
        (IndexError("index out of range in self"), f"failed: {NAMES[1]}: index out of range"),
        (ValueError(""), f"failed: {NAMES[1]}: ValueError"),
        (torch.OutOfMemoryError("CUDA out of memory"), f"oom: {NAMES[1]}: "),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), f"oom: {NAMES[1]}: "),
        (MemoryError(), f"oom: {NAMES[1]}: "),
        (FileNotFoundError(2, "No such file", "a.png"), f"failed: {NAMES[1]}: [Errno 2]"),
    ],
)
@pytest.mark.parametrize("memory", [pytest.param(0, marks=pytest.mark.slow), ROOMY])
def test_a_candidate_that_fails_in_the_middle_is_dropped_with_its_reason(
    make, monkeypatch, error, reason, memory
):
    poisoned(monkeypatch, NAMES[1], error)
    trials = make(memory)
    result = choose(trials, NAMES[:3])
    assert [bad.repo_id for bad in result.failed] == [NAMES[1]]
    assert result.failed[0].reason.startswith(reason)
    assert result.winner in (NAMES[0], NAMES[2])
    assert not trials.opened[NAMES[1]].awake


def test_what_has_failed_leaves_no_checkpoint_and_keeps_its_curve(make, monkeypatch):
    trial = make().open(NAMES[0])
    trial.advance(0.5)
    trial.sleep()
    assert trial.folder.exists()
    poisoned(monkeypatch, NAMES[0], RuntimeError("no"))
    with pytest.raises(TrialError):
        trial.advance(2)
    assert not trial.folder.exists()
    assert not trial.awake
    assert trial.curve.epochs.tolist() == [0.5, 1.0]


def test_a_candidate_that_diverges_is_dropped(make):
    def rates(name):
        return replace(recipe_of(name), learning_rate=1e30, max_grad_norm=0)

    trials = make(0, recipe_of=lambda m: rates(m) if m == NAMES[0] else recipe_of(m))
    result = choose(trials, NAMES[:2])
    assert [bad.reason.split(":")[0] for bad in result.failed] == ["diverged"]


def test_a_model_that_is_gone_when_it_has_to_wake_is_dropped(make, folders, tmp_path, target):
    mine = shutil.copytree(folders["m0"], tmp_path / "mine")
    trials = make(0)
    trials.locate = lambda name: (mine if name == NAMES[0] else folders["m1"], "r1")

    def noted(model, curve):
        if model == NAMES[2]:
            shutil.rmtree(mine, ignore_errors=True)

    result = choose(trials, [NAMES[0], NAMES[2]], on_advance=noted)
    assert [bad.repo_id for bad in result.failed] == [NAMES[0]]
    assert "no model folder" in result.failed[0].reason
    assert result.winner == NAMES[2]


def test_who_runs_out_of_memory_beside_others_gets_all_of_it(make, monkeypatch, folders, target):
    trials = make()
    first = trials.open(NAMES[0])
    first.advance(0.5)
    load = AccelerateTrial.load

    def crowded(trial, folder):
        forward = trial.module.forward

        def limited(*args, **batch):
            if len(awake(trials)) > 1 or (first.awake and trial is not first._trial):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(*args, **batch)

        trial.module.forward = limited
        return load(trial, folder)

    monkeypatch.setattr(AccelerateTrial, "load", crowded)
    second = trials.open(NAMES[1])
    second.advance(2)
    assert not first.awake
    straight = alone(folders, target, NAMES[1])
    straight.advance(2)
    assert same_weights(weights(second.trial), weights(straight))


def test_it_gets_all_of_it_to_be_loaded_too(make, monkeypatch):
    trials = make()
    trials.open(NAMES[0]).advance(0.5)
    load = AccelerateTrial.load

    def crowded(trial, folder):
        if awake(trials):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return load(trial, folder)

    monkeypatch.setattr(AccelerateTrial, "load", crowded)
    assert trials.open(NAMES[1]).awake
    assert awake(trials) == [NAMES[1]]


def test_a_failure_at_the_test_keeps_the_checkpoint(make, monkeypatch):
    trial = make().open(NAMES[0])
    trial.advance(2)
    trial.sleep()

    def fails(self):
        raise TrialError("no score", status="failed")

    monkeypatch.setattr(AccelerateTrial, "test", fails)
    with pytest.raises(TrialError):
        trial.test()
    assert not trial.awake
    assert list(trial.folder.iterdir())


def test_an_unsaved_trial_says_why_it_cannot_be_had(make, monkeypatch):
    trial = make().open(NAMES[0])
    trial.advance(0.5)
    monkeypatch.setattr(checkpoint, "write", full)
    trial.sleep()
    assert not trial.awake
    with pytest.raises(ModelError, match=r"couldn't be saved .* No space left") as caught:
        trial.advance(1)
    assert "the same command" in caught.value.hint


# ------------------------------------------------------------------------ several processes


def together(folders, tmp_path, name, **options):
    out = tmp_path / name
    out.mkdir()
    data = tinytrial.make_dataset(tmp_path / "data")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", live_script.__file__]
    command += [str(folders["m0"]), str(data), str(out), json.dumps(options)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return [json.loads((out / f"rank{i}.json").read_text()) for i in range(2)]


@pytest.mark.slow
def test_processes_agree_on_who_sleeps_and_train_on_bit_by_bit(folders, tmp_path):
    roomy = together(folders, tmp_path, "roomy", budgets=[ROOMY, ROOMY])
    sleepy = together(folders, tmp_path, "sleepy", budgets=[ROOMY, 10])
    assert [r["memory"] for r in sleepy] == [5, 5]
    assert sleepy[0]["awake"] == sleepy[1]["awake"] == [["a"], ["b"]] * 3
    assert roomy[0]["awake"][-1] == ["a", "b"]
    for rank in range(2):
        assert sleepy[rank]["weights"] == roomy[rank]["weights"]
        for name in ("a", "b"):
            one, other = (run[rank]["curves"][name] for run in (sleepy, roomy))
            assert all(one[part] == other[part] for part in ("epochs", "val_loss", "train_loss"))


@pytest.mark.slow
def test_processes_agree_on_who_is_lost_to_a_full_disk(folders, tmp_path):
    found = together(folders, tmp_path, "full", budgets=[0, 0], full=True)
    assert found[0]["failed"] == found[1]["failed"]
    assert len(found[0]["failed"]) == 2
    assert found[0]["awake"][-1] == found[1]["awake"][-1] == ["b"]
