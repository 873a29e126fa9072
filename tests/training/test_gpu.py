"""Trials on a real accelerator: half precision, real lack of memory, no waiting, equal scores."""

import warnings
from dataclasses import replace

import job_functions
import numpy as np
import pytest
import tinytrial
import torch
from accelerate.state import AcceleratorState

from hf_select.results.repo import ResultsRepo
from hf_select.training import trial as trial_module
from hf_select.training.benchmark import run_benchmark
from hf_select.training.executors.base import Job
from hf_select.training.executors.engine import Engine
from hf_select.training.executors.local import LocalExecutor
from hf_select.training.trial import AccelerateTrial, prepare

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
RECIPE = replace(tinytrial.RECIPE, epochs=3)


@pytest.fixture(autouse=True)
def any_precision():
    """Accelerate keeps one precision and one device a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tinytrial.make_model(tmp_path_factory.mktemp("models") / "tiny", dropout=0.0)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return tinytrial.make_target(tmp_path_factory.mktemp("target") / "words", train=203)


@pytest.fixture
def make(model, target):
    def build(recipe=RECIPE, **options):
        return AccelerateTrial("tiny", model, target, recipe, **options)

    return build


def vector(trial):
    return torch.cat([p.detach().cpu().reshape(-1) for p in trial.module.parameters()])


def test_the_scores_are_those_of_a_cpu(make, monkeypatch):
    def train():
        trial = make()
        trial.advance(3)
        return trial._device.type, trial.curve, trial.test()

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    *here, curve, test = train()
    monkeypatch.delenv("ACCELERATE_USE_CPU")
    AcceleratorState._reset_state(reset_partial_state=True)
    *there, found, found_test = train()
    assert (here, there) == (["cpu"], ["cuda"])
    np.testing.assert_allclose(found.train_loss, curve.train_loss, rtol=0.05)
    np.testing.assert_allclose(found.val_loss, curve.val_loss, rtol=0.05)
    np.testing.assert_allclose(found.val, curve.val, atol=0.1)
    assert found_test == pytest.approx(test, abs=0.1)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_it_learns_in_half_precision(model, tmp_path, precision):
    target = tinytrial.make_target(tmp_path, train=400)
    recipe = replace(RECIPE, learning_rate=1e-2, epochs=4, precision=precision)
    trial = AccelerateTrial("tiny", model, target, recipe)
    layer = next(m for m in trial.module.modules() if isinstance(m, torch.nn.Linear))
    seen = set()
    layer.register_forward_hook(lambda *call: seen.add((trial.module.training, call[2].dtype)))
    trial.advance(4)
    half = torch.bfloat16 if precision == "bf16" else torch.float16
    assert seen == {(True, half), (False, half)}
    assert trial.test() >= 0.8
    assert {p.dtype for p in trial.module.parameters()} == {torch.float32}


def test_batches_made_ahead_are_the_same(make, monkeypatch):
    ahead = make()
    ahead.advance(1)
    monkeypatch.setitem(trial_module.AHEAD, "cuda", 0)
    straight = make()
    straight.advance(1)
    np.testing.assert_allclose(ahead.curve.val_loss, straight.curve.val_loss, rtol=0.05)
    assert ahead.throughput.tokens == straight.throughput.tokens


def test_saved_and_loaded_it_goes_on(make, tmp_path):
    straight = make()
    straight.advance(0.5)
    straight.advance(2)
    paused = make()
    paused.advance(0.5)
    paused.save(tmp_path)
    paused.close()
    resumed = make()
    assert resumed.load(tmp_path)
    resumed.advance(2)
    np.testing.assert_allclose(resumed.curve.val_loss, straight.curve.val_loss, rtol=0.05)


def test_a_step_waits_for_nothing(make):
    """No copy, loss or norm of ours makes the host wait for the GPU."""
    trial = make(replace(RECIPE, fractions=()))
    trial.advance(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trial.on_step = _stop_at(trial._step + 20)
        with trial._running():
            torch.cuda.set_sync_debug_mode("warn")
            try:
                with pytest.raises(StopIteration):
                    trial._train(trial._step + 25)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    waits = {(w.filename, w.lineno) for w in caught if "called a synchronizing" in str(w.message)}
    ours = {where for where in waits if "/transformers/" not in where[0]}  # a model may look
    assert not ours


def _stop_at(step):
    def stop(trial):
        if trial._step >= step:
            raise StopIteration

    return stop


def test_the_precision_of_products_is_that_of_the_process_afterwards(make):
    assert torch.get_float32_matmul_precision() == "highest"
    seen = []
    trial = make(on_step=lambda trial: seen.append(torch.get_float32_matmul_precision()))
    trial.advance(0.5)
    assert set(seen) == {"high"}
    assert torch.get_float32_matmul_precision() == "highest"


def test_real_lack_of_memory_halves_the_parts_and_keeps_the_batch(tmp_path):
    model = tinytrial.make_model(tmp_path / "wide", dropout=0.0, width=256)
    target = tinytrial.make_target(tmp_path / "words", train=2048)
    recipe = replace(RECIPE, global_batch_size=1024, epochs=1, fractions=(), learning_rate=1e-4)

    def run():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        trial = AccelerateTrial("wide", model, target, recipe)
        start = vector(trial)
        with trial._running():
            trial._train(2)
        peak = torch.cuda.max_memory_reserved()
        assert trial.throughput.samples == 2048
        found = vector(trial) - start, trial._loss_sum.item(), trial.micro_batch
        trial.close()
        return *found, peak

    run()  # workspaces that stay
    whole, loss, parts, peak = run()
    assert parts == 0
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.7 * peak / total)
    try:
        small, small_loss, parts, _ = run()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert parts in (512, 256, 128)
    assert small_loss == pytest.approx(loss, rel=1e-2)
    assert (small - whole).norm() < 0.3 * whole.norm()


# --------------------------------------------------------------------------- loaded ahead


def run_ahead(tmp_path, ahead, function=job_functions.device, prepare=job_functions.keep):
    executor = LocalExecutor(function, logs=tmp_path / "logs", jobs=1, prepare=prepare, ahead=ahead)
    outcomes = []
    jobs = [Job(f"job{i}", str(tmp_path)) for i in range(3)]
    executor.run(jobs, on_end=outcomes.append)
    return [(o.status, o.reason) for o in outcomes]


def test_a_job_that_was_loaded_ahead_has_its_gpu(tmp_path):
    assert run_ahead(tmp_path, None) == [("ok", "")] * 3
    assert (tmp_path / "devices").read_text() == "cuda:0\n" * 3


def test_a_job_whose_driver_was_asked_too_early_fails_and_does_not_train_on_the_cpu(tmp_path):
    found = run_ahead(tmp_path, True, prepare=job_functions.ask_the_driver)
    assert {status for status, _ in found} == {"failed"}
    assert all("looked for before" in reason for _, reason in found)


def test_cells_that_were_loaded_ahead_train_on_the_gpu_and_alike(tmp_path):
    catalog = tinytrial.make_catalog(tmp_path / "catalog", datasets=1)
    found = []
    for ahead in ("no", "yes"):
        repo = ResultsRepo.open_or_create(tmp_path / ahead)
        engine = Engine("local", {"ahead": ahead})
        summary = run_benchmark(catalog, repo, RECIPE, seeds=(0, 1), engine=engine)
        assert (summary.done, summary.failed) == (4, 0)
        assert {run.hardware for run in repo.runs()} == {torch.cuda.get_device_name()}
        found.append({run.key: run for run in repo.runs()})
    for key, run in found[0].items():
        np.testing.assert_allclose(run.curve.val_loss, found[1][key].curve.val_loss, rtol=1e-3)
        np.testing.assert_allclose(run.curve.train_loss, found[1][key].curve.train_loss, rtol=1e-3)


def test_a_trial_draws_the_same_on_a_device_whenever_its_model_was_loaded(tmp_path, target):
    model = tinytrial.make_model(tmp_path / "model", dropout=0.3)
    trials = [
        AccelerateTrial("tiny", model, target, RECIPE, seed=4),
        AccelerateTrial(
            "tiny", model, target, RECIPE, seed=4, prepared=prepare(model, target, RECIPE, seed=4)
        ),
    ]
    for trial in trials:
        trial.advance(1)
    torch.testing.assert_close(vector(trials[0]), vector(trials[1]), rtol=1e-4, atol=1e-5)
