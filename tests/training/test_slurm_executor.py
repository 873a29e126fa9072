import os
import signal
import time
from pathlib import Path

import fake_slurm
import job_functions
import numpy as np
import pytest
import tinytrial
from enginetest import alive, driver, events, files, meanwhile, of_the_session, started, wait_for

from hf_select.errors import InputError, StoppedError, UnknownNameError
from hf_select.results.repo import ResultsRepo
from hf_select.training import benchmark
from hf_select.training.benchmark import run_benchmark
from hf_select.training.executors import slurm
from hf_select.training.executors.base import Interrupts, Job
from hf_select.training.executors.board import Board
from hf_select.training.executors.engine import Engine
from hf_select.training.executors.slurm import SlurmExecutor

pytest.importorskip("submitit")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")
RECIPE = tinytrial.RECIPE


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return tinytrial.make_catalog(tmp_path_factory.mktemp("catalog"), models=1, datasets=1)


@pytest.fixture
def repo(tmp_path):
    return ResultsRepo.open_or_create(tmp_path / "results")


def run(tmp_path, *whats, **options):
    """Outcomes by what the job did."""
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    options = {"cluster": "local", **options}
    executor = SlurmExecutor(job_functions.act, logs=tmp_path / "logs", **options)
    outcomes = []
    jobs = [Job(what.replace(" ", "-"), (what, str(folder))) for what in whats]
    executor.run(jobs, on_end=outcomes.append)
    assert len(outcomes) == len(jobs)
    return {outcome.id: outcome for outcome in outcomes}


# ------------------------------------------------------------------------------------- jobs


def test_what_goes_wrong_in_a_job_is_its_outcome(tmp_path, capfd):
    outcomes = run(tmp_path, "fine", "raise", "segfault", "kill", jobs=2)
    assert {name: o.status for name, o in outcomes.items()} == {
        "fine": "ok",
        "raise": "failed",
        "segfault": "failed",
        "kill": "failed",
    }
    assert outcomes["raise"].reason == "ValueError: no such thing as 3.5 layers"
    assert outcomes["segfault"].reason == "its process died: Segmentation fault"
    assert outcomes["kill"].reason == "its process died"
    logs = {path.stem: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert set(logs) == {"raise", "segfault", "kill"}
    assert "a line of output" in logs["raise"]
    assert "Traceback" in logs["raise"]
    assert not list((tmp_path / "jobs").iterdir())
    assert capfd.readouterr() == ("", "")  # submitit says nothing to the user


def test_a_job_that_hangs_is_ended_with_all_it_started(tmp_path):
    outcomes = run(tmp_path, "hang", "fine", jobs=2, timeout=1.5)
    assert outcomes["fine"].status == "ok"
    assert outcomes["hang"].status == "timeout"
    assert outcomes["hang"].reason == "took longer than 1.5 seconds"
    grandchild = int((tmp_path / "work" / "grandchild.pid").read_text())
    wait_for(lambda: not alive(grandchild))


def test_a_job_has_its_threads_and_no_device(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run(tmp_path, "describe")
    described = (tmp_path / "work" / "described").read_text()
    assert described == repr(["1", "", 1, 8_000_000.0])
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_the_next_job_is_asked_for_when_there_is_room(tmp_path):
    (tmp_path / "work").mkdir()
    ended, asked = [], []

    def jobs():
        for i in range(3):
            asked.append(len(ended))
            yield Job(f"job{i}", ("fine", str(tmp_path / "work")))

    executor = SlurmExecutor(job_functions.act, logs=tmp_path / "logs", jobs=1, cluster="local")
    executor.run(jobs(), on_end=lambda outcome: ended.append(outcome.id))
    assert asked == [0, 1, 2]
    assert ended == ["job0", "job1", "job2"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_jobs_save_and_stops(tmp_path, number):
    work = tmp_path / "work"
    work.mkdir()

    def send():
        wait_for(lambda: len(list(work.glob("*.started"))) == 2)
        os.kill(os.getpid(), number)

    sender = meanwhile(send)
    before = signal.getsignal(number)
    executor = SlurmExecutor(job_functions.act, logs=tmp_path / "logs", jobs=2, cluster="local")
    outcomes = []
    jobs = [Job(f"job{i}", ("until stopped", str(work))) for i in range(3)]
    with pytest.raises(StoppedError, match=number.name):
        executor.run(jobs, on_end=outcomes.append)
    sender.join()
    assert [outcome.status for outcome in outcomes] == ["stopped", "stopped"]
    assert len(list(work.glob("*.saved"))) == 2
    assert signal.getsignal(number) is before


def test_a_job_that_does_not_stop_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_select.training.executors.slurm.GRACE_SECONDS", 0.5)
    work = tmp_path / "work"
    work.mkdir()

    def send():
        wait_for(lambda: list(work.glob("*.started")))
        os.kill(os.getpid(), signal.SIGTERM)

    meanwhile(send)
    executor = SlurmExecutor(job_functions.act, logs=tmp_path / "logs", cluster="local")
    outcomes = []
    began = time.monotonic()
    with pytest.raises(StoppedError):
        executor.run([Job("hang", ("hang", str(work)))], on_end=outcomes.append)
    assert time.monotonic() - began < 30
    assert [outcome.status for outcome in outcomes] == ["stopped"]


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_the_driver_only(tmp_path):
    """The signal goes to all of the group: submitit's own processes, and the jobs'."""
    module, options = "hf_select.training.executors.slurm", {"jobs": 2, "cluster": "local"}
    process = driver(tmp_path, module, "SlurmExecutor", "until stopped", **options)
    wait_for(lambda: len(list(tmp_path.glob("*.started"))) == 2 or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert output == ""
    assert sorted(errors.splitlines()) == ["job0 stopped", "job1 stopped", "stopped by SIGINT"]
    assert len(list(tmp_path.glob("*.saved"))) == 2
    wait_for(lambda: not of_the_session(process.pid))


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    def send():
        wait_for(lambda: list(work.glob("*.started")))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    sender = meanwhile(send)
    executor = SlurmExecutor(job_functions.act, logs=tmp_path / "logs", jobs=1, cluster="local")
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        executor.run([Job("hang", ("hang", str(work)))], on_end=print)
    sender.join()
    assert time.monotonic() - began < 20
    pid = int(next(work.glob("*.started")).stem.split("-")[1])
    wait_for(lambda: not alive(pid))


def test_the_time_in_the_queue_again_does_not_count(tmp_path):
    logs = tmp_path / "logs"
    executor = SlurmExecutor(job_functions.act, logs=logs, timeout=5, cluster="local")
    board = Board.beside(logs)
    board.make()
    sent = executor.prepare(Job("fine", ("fine", str(tmp_path))), board)
    now = time.monotonic()
    running = slurm._Running(sent, None, starts=1, since=now - 6)
    jobs = slurm._Run(executor, None, board, Interrupts(), print)
    board.note_start("fine")
    assert jobs.is_to_end(running, now)
    board.note_pause("fine")
    assert not jobs.is_to_end(running, now)
    assert len(board.starts("fine")) == 1
    board.note_start("fine")
    assert jobs.is_to_end(running, now)


# ------------------------------------------------------------------------------------- cells


@pytest.fixture(params=["local", pytest.param("slurm", marks=pytest.mark.slow)])
def engine(request, tmp_path, monkeypatch):
    """submitit's processes here, and its jobs in a queue that speaks as SLURM's."""
    if request.param == "local":
        return Engine("slurm", {"cluster": "local"})
    commands = fake_slurm.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    return Engine("slurm", {"gpus_per_node": "0"})


@pytest.mark.slow
def test_an_interrupted_cell_saves_and_is_queued_again(
    engine, catalog, repo, tmp_path, monkeypatch
):
    undisturbed = ResultsRepo.open_or_create(tmp_path / "undisturbed")
    run_benchmark(catalog, undisturbed, RECIPE)
    (expected,) = undisturbed.runs()
    monkeypatch.setattr(benchmark, "run_job", job_functions.slowly_counted)
    steps = repo.path / "steps"

    def interrupt():
        wait_for(lambda: steps.exists() and steps.stat().st_size > 3)
        os.kill(started(repo.path)[0], signal.SIGUSR2)

    interrupter = meanwhile(interrupt)
    summary = run_benchmark(catalog, repo, RECIPE, checkpoint_every=1000, engine=engine)
    interrupter.join()
    assert (summary.done, summary.failed) == (1, 0)
    (record,) = repo.runs()
    assert (record.status, record.reason, record.test) == ("ok", "", expected.test)
    for name in ("epochs", "val", "val_loss", "train_loss"):
        np.testing.assert_array_equal(getattr(record.curve, name), getattr(expected.curve, name))
    seen = [(event.kind, event.epoch) for event in events(repo.path)]
    kinds = [kind for kind, _ in seen]
    assert kinds == ["start", "stopped", "start", "point", "point", "point", "done"]
    assert seen[1][1] == seen[2][1] > 0
    whole = 2 * 7  # steps of two epochs; each was done once, and asked about once or twice
    assert steps.stat().st_size <= whole + 3 + 1

    before = files(repo.path)
    again = run_benchmark(catalog, repo, RECIPE, engine=engine)
    assert (again.done, again.failed, again.skipped) == (0, 0, 1)
    assert files(repo.path) == before


# ------------------------------------------------------------------------------------- SLURM


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """The folder of a queue that speaks as SLURM's, with its commands on the PATH."""
    commands = fake_slurm.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LAG_SECONDS", 0.5)
    return tmp_path / "slurm"


def on_slurm(tmp_path, *whats, **options):
    return run(tmp_path, *whats, cluster="slurm", **options)


def test_jobs_are_one_array_with_a_limit(queue, tmp_path):
    outcomes = on_slurm(
        tmp_path,
        *("fine", "raise", "kill"),
        jobs=2,
        partition="gpu",
        account="me",
        qos="low",
        cpus_per_task=2,
        mem_gb=1.5,
        timeout_min=30,
    )
    assert {name: o.status for name, o in outcomes.items()} == {
        "fine": "ok",
        "raise": "failed",
        "kill": "failed",
    }
    assert outcomes["raise"].reason == "ValueError: no such thing as 3.5 layers"
    assert outcomes["kill"].reason.startswith("SLURM says FAILED")
    assert set(fake_slurm.states(queue)) == {"1_0", "1_1", "1_2"}
    script = (queue / "1.sh").read_text()
    for line in (
        *("array=0-2%2", "partition=gpu", "account=me", "qos=low", "cpus-per-task=2"),
        *("mem=1536MB", "time=30", "gpus-per-node=1", "signal=USR2@90"),
    ):
        assert f"#SBATCH --{line}\n" in script
    assert "--cpus-per-task=2 " in script.partition("srun")[2]


def test_arrays_come_one_after_the_other(queue, tmp_path, monkeypatch):
    """Each has a limit of its own of jobs at once."""
    monkeypatch.setattr(slurm, "CHUNK", 2)
    ended, asked = [], []

    def jobs():
        for i in range(3):
            asked.append(len(ended))
            yield Job(f"job{i}", ("fine", str(tmp_path)))

    executor = SlurmExecutor(job_functions.act, logs=tmp_path / "logs", gpus_per_node=0)
    executor.run(jobs(), on_end=ended.append)
    assert [outcome.status for outcome in ended] == ["ok"] * 3
    assert asked == [0, 0, 2]
    assert set(fake_slurm.states(queue)) == {"1_0", "1_1", "2"}
    assert "gpus" not in (queue / "1.sh").read_text()


@pytest.mark.slow
def test_a_hanging_job_is_cancelled_in_the_queue(queue, tmp_path):
    outcomes = on_slurm(tmp_path, "hang", timeout=1.5)
    assert outcomes["hang"].status == "timeout"
    assert fake_slurm.states(queue) == {"1": "CANCELLED by 1000"}


@pytest.mark.slow
def test_what_a_lost_machine_runs_is_not_started_again(queue, tmp_path):
    def lose():
        wait_for(lambda: list((tmp_path / "work").glob("*.started")))
        (queue / "1.state").write_text("NODE_FAIL")

    meanwhile(lose)
    outcomes = on_slurm(tmp_path, "hang")
    assert (outcomes["hang"].status, outcomes["hang"].reason) == ("failed", "SLURM says NODE_FAIL")
    assert fake_slurm.states(queue) == {"1": "CANCELLED by 1000"}


def test_a_signal_cancels_what_waits_and_lets_the_rest_save(queue, tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    def send():
        wait_for(lambda: list(work.glob("*.started")))
        os.kill(os.getpid(), signal.SIGTERM)

    sender = meanwhile(send)
    executor = SlurmExecutor(job_functions.act, logs=tmp_path / "logs", jobs=1)
    outcomes = []
    jobs = [Job(f"job{i}", ("until stopped", str(work))) for i in range(3)]
    with pytest.raises(StoppedError, match="SIGTERM"):
        executor.run(jobs, on_end=outcomes.append)
    sender.join()
    assert sorted((o.id, o.status) for o in outcomes) == [(f"job{i}", "stopped") for i in range(3)]
    assert len(list(work.glob("*.saved"))) == 1
    found = sorted(fake_slurm.states(queue).values())
    assert found[:2] == ["CANCELLED by 1000"] * 2


def test_what_slurm_does_not_take_is_an_error(queue, catalog, repo):
    before = files(repo.path)
    with pytest.raises(InputError, match=r"SLURM does not take the jobs: .*invalid partition"):
        run_benchmark(catalog, repo, RECIPE, engine=Engine("slurm", {"partition": "closed"}))
    assert files(repo.path) == before


# ---------------------------------------------------------------------------- what is refused


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cluster": "lsf"}, "cluster is 'lsf', but must be slurm or local"),
        ({"cpus_per_task": "0"}, "cpus_per_task is '0', but must be a whole number"),
        ({"gpus_per_node": "one"}, "gpus_per_node is 'one', but must be"),
        ({"mem_gb": "-2"}, "mem_gb is '-2', but must be a number above 0"),
        ({"timeout_min": "1.5"}, "timeout_min is '1.5', but must be"),
        ({"partition": ""}, "partition is '', but must be a name"),
        ({"parition": "gpu"}, "unknown option of the executor slurm 'parition'"),
        ({}, "SLURM is not here: no sbatch on the PATH"),
    ],
)
def test_bad_options_are_refused(no_slurm, catalog, repo, options, words):
    before = sorted(repo.path.rglob("*"))
    with pytest.raises(InputError, match=words) as error:
        run_benchmark(catalog, repo, RECIPE, engine=Engine("slurm", options))
    assert sorted(repo.path.rglob("*")) == before
    assert isinstance(error.value, UnknownNameError) == ("parition" in options)
    if not options:
        assert "--executor-option cluster=local" in error.value.hint


def test_without_submitit_its_extra_is_named(catalog, repo, monkeypatch):
    monkeypatch.setattr("hf_select.training.executors.slurm.find_spec", lambda name: None)
    before = sorted(repo.path.rglob("*"))
    with pytest.raises(InputError, match="the executor slurm needs submitit") as error:
        run_benchmark(catalog, repo, RECIPE, engine=Engine("slurm", {"cluster": "local"}))
    assert error.value.hint == "pip install 'hf-select[slurm]'"
    assert sorted(repo.path.rglob("*")) == before


def test_less_time_than_a_job_may_take_is_refused(catalog, repo):
    before = files(repo.path)
    engine = Engine("slurm", {"cluster": "local", "timeout_min": "2"})
    with pytest.raises(InputError, match="timeout_min is 2 minutes, but must be at least"):
        run_benchmark(catalog, repo, RECIPE, timeout=121, engine=engine)
    assert files(repo.path) == before
    options = {"logs": Path("logs"), "cluster": "local"}
    assert SlurmExecutor(job_functions.act, timeout=120, timeout_min=2, **options).timeout_min == 2
    assert SlurmExecutor(job_functions.act, timeout=7 * 3600, **options).timeout_min == 425
