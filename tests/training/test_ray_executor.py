import importlib.util
import os
import signal
import socket
import time
from pathlib import Path

import job_functions
import numpy as np
import pytest
import tinytrial
from enginetest import alive, driver, events, files, meanwhile, of_the_session, started, wait_for

from hf_select.errors import InputError, StoppedError, UnknownNameError
from hf_select.results.repo import ResultsRepo
from hf_select.training import benchmark
from hf_select.training.benchmark import run_benchmark
from hf_select.training.executors import board as board_module
from hf_select.training.executors.base import Job
from hf_select.training.executors.board import Board
from hf_select.training.executors.engine import Engine
from hf_select.training.executors.job import remote_job
from hf_select.training.executors.ray import RayExecutor, _Node

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")
RECIPE = tinytrial.RECIPE


@pytest.fixture(scope="module")
def cluster():
    """Two CPUs of this machine, which the executors find."""
    before = signal.getsignal(signal.SIGTERM)
    executor = RayExecutor(job_functions.act, logs=Path("unused"))
    assert signal.getsignal(signal.SIGTERM) is before
    yield
    executor._cluster.leave()


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
    executor = RayExecutor(job_functions.act, logs=tmp_path / "logs", **options)
    outcomes = []
    jobs = [Job(what.replace(" ", "-"), (what, str(folder))) for what in whats]
    executor.run(jobs, on_end=outcomes.append)
    assert len(outcomes) == len(jobs)
    return {outcome.id: outcome for outcome in outcomes}


# ------------------------------------------------------------------------------------- jobs


def test_what_goes_wrong_in_a_job_is_its_outcome(cluster, tmp_path):
    outcomes = run(tmp_path, "fine", "raise", "segfault", max_retries=1)
    assert {name: o.status for name, o in outcomes.items()} == {
        "fine": "ok",
        "raise": "failed",
        "segfault": "failed",
    }
    assert outcomes["raise"].reason == "ValueError: no such thing as 3.5 layers"
    assert outcomes["segfault"].reason == "its worker died 2 times: Segmentation fault"
    logs = {path.stem: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert set(logs) == {"raise", "segfault"}
    assert "a line of output" in logs["raise"]
    assert "Traceback" in logs["raise"]
    assert not list((tmp_path / "jobs").iterdir())


def test_a_job_that_hangs_is_ended(cluster, tmp_path):
    outcomes = run(tmp_path, "hang", "fine", jobs=2, timeout=1.5)
    assert outcomes["fine"].status == "ok"
    assert outcomes["hang"].status == "timeout"
    assert outcomes["hang"].reason == "took longer than 1.5 seconds"
    assert len(list((tmp_path / "work").glob("hang-*.started"))) == 1
    grandchild = int((tmp_path / "work" / "grandchild.pid").read_text())
    wait_for(lambda: not alive(grandchild))


@pytest.mark.slow
def test_a_job_in_the_queue_does_not_use_up_its_time(cluster, tmp_path):
    whats = ["nap", "nap ", "nap  ", "nap   "]
    outcomes = run(tmp_path, *whats, jobs=4, timeout=3.5)
    assert {o.status for o in outcomes.values()} == {"ok"}


def test_a_job_has_its_threads_and_no_device(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    run(tmp_path, "describe")
    described = (tmp_path / "work" / "described").read_text()
    assert described == repr(["1", "", 1, 8_000_000.0])


def test_the_next_job_is_asked_for_when_there_is_room(cluster, tmp_path):
    (tmp_path / "work").mkdir()
    ended, asked = [], []

    def jobs():
        for i in range(3):
            asked.append(len(ended))
            yield Job(f"job{i}", ("fine", str(tmp_path / "work")))

    executor = RayExecutor(job_functions.act, logs=tmp_path / "logs", jobs=1)
    executor.run(jobs(), on_end=lambda outcome: ended.append(outcome.id))
    assert asked == [0, 1, 2]
    assert ended == ["job0", "job1", "job2"]
    assert len(list((tmp_path / "work").glob("*.started"))) == 3  # a process each


def test_by_default_as_many_run_as_there_is_room_for(cluster, tmp_path):
    whole = ray.cluster_resources()["CPU"]
    assert RayExecutor(job_functions.act, logs=tmp_path).slots == whole
    assert RayExecutor(job_functions.act, logs=tmp_path, num_cpus=0.5).slots == 2 * whole
    node = _Node("", "", "", cpus=8.0, gpus=2.0)
    assert [node.room(1, gpus) for gpus in (0, 1, 0.1, 2, 3)] == [8, 2, 8, 1, 0]


def test_a_signal_lets_the_jobs_save_and_stops(cluster, tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    def send():
        wait_for(lambda: len(list(work.glob("*.started"))) == 2)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = meanwhile(send)
    before = signal.getsignal(signal.SIGTERM)
    executor = RayExecutor(job_functions.act, logs=tmp_path / "logs", jobs=3)
    outcomes = []
    jobs = [Job(f"job{i}", ("until stopped", str(work))) for i in range(4)]
    with pytest.raises(StoppedError, match="SIGTERM"):
        executor.run(jobs, on_end=outcomes.append)
    sender.join()
    assert sorted((o.id, o.status) for o in outcomes) == [(f"job{i}", "stopped") for i in range(3)]
    assert len(list(work.glob("*.saved"))) == 2
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_job_that_does_not_stop_is_ended(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_select.training.executors.ray.GRACE_SECONDS", 0.5)
    work = tmp_path / "work"
    work.mkdir()

    def send():
        wait_for(lambda: list(work.glob("*.started")))
        os.kill(os.getpid(), signal.SIGTERM)

    meanwhile(send)
    executor = RayExecutor(job_functions.act, logs=tmp_path / "logs")
    outcomes = []
    began = time.monotonic()
    with pytest.raises(StoppedError):
        executor.run([Job("hang", ("hang", str(work)))], on_end=outcomes.append)
    assert time.monotonic() - began < 30
    assert [outcome.status for outcome in outcomes] == ["stopped"]


def test_a_job_that_starts_too_often_is_ended(cluster, tmp_path, monkeypatch):
    """Ray starts what its memory monitor has ended again and again, whatever `max_retries` is."""
    monkeypatch.setattr(RayExecutor, "max_starts", 1)
    work = tmp_path / "work"

    def tell():
        (path,) = wait_for(lambda: list(work.glob("*.started")))
        os.kill(int(path.stem.split("-")[1]), signal.SIGKILL)

    meanwhile(tell)
    outcomes = run(tmp_path, "hang", timeout=20)
    assert [(o.status, o.reason) for o in outcomes.values()] == [
        ("failed", "its worker died 2 times")
    ]


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_at_once(cluster, tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    def send():
        wait_for(lambda: list(work.glob("*.started")))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    sender = meanwhile(send)
    executor = RayExecutor(job_functions.act, logs=tmp_path / "logs", jobs=1)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        executor.run([Job("hang", ("hang", str(work)))], on_end=print)
    sender.join()
    assert time.monotonic() - began < 20
    pid = int(next(work.glob("*.started")).stem.split("-")[1])
    wait_for(lambda: not alive(pid))


# ------------------------------------------------------------------------------------- cells


def kill(results, times, killed):
    """SIGKILL for the worker that trains, each time when it has come further."""
    seen = 0
    for _ in range(times):
        wait_for(lambda n=seen: steps_saved(results) > n + 3)
        seen = steps_saved(results)
        pid = wait_for(lambda: next((p for p in started(results) if p not in killed), None))
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)


def steps_saved(results):
    """Checkpoints so far, as the slow job counts them."""
    path = Path(results) / "steps"
    return path.stat().st_size if path.exists() else 0


def killed_run(catalog, repo, times, **options):
    killed = []
    meanwhile(lambda: kill(repo.path, times, killed))
    summary = run_benchmark(
        catalog, repo, RECIPE, checkpoint_every=0, engine=Engine("ray", options)
    )
    return summary, killed


@pytest.mark.slow
def test_a_cell_whose_worker_is_killed_twice_goes_on(
    cluster, catalog, repo, tmp_path, monkeypatch, capfd
):
    undisturbed = ResultsRepo.open_or_create(tmp_path / "undisturbed")
    run_benchmark(catalog, undisturbed, RECIPE)
    monkeypatch.setattr(benchmark, "run_job", job_functions.slowly_counted)
    capfd.readouterr()
    summary, killed = killed_run(catalog, repo, 2)
    assert len(killed) == 2
    assert (summary.done, summary.failed) == (1, 0)
    (expected,), (record,) = undisturbed.runs(), repo.runs()
    assert (record.status, record.reason, record.test) == ("ok", "", expected.test)
    for name in ("epochs", "val", "val_loss", "train_loss"):
        np.testing.assert_array_equal(getattr(record.curve, name), getattr(expected.curve, name))
    starts = [event.epoch for event in events(repo.path) if event.kind == "start"]
    assert len(starts) == 3
    assert 0 < starts[1] < starts[2]
    assert [e.kind for e in events(repo.path)].count("done") == 1
    assert capfd.readouterr() == ("", "")  # Ray says nothing to the user

    before = files(repo.path)
    again = run_benchmark(catalog, repo, RECIPE, engine=Engine("ray"))
    assert (again.done, again.failed, again.skipped) == (0, 0, 1)
    assert files(repo.path) == before


@pytest.mark.slow
def test_without_retries_it_is_recorded_as_failed(cluster, catalog, repo, monkeypatch):
    monkeypatch.setattr(benchmark, "run_job", job_functions.slowly_counted)
    summary, _ = killed_run(catalog, repo, 1, max_retries="0")
    assert (summary.done, summary.failed) == (0, 1)
    (record,) = repo.runs()
    assert (record.status, record.reason) == ("failed", "its worker died")


def test_a_worker_that_is_told_to_go_saves_and_the_job_goes_on(cluster, tmp_path):
    """As on a machine that is taken away."""
    work = tmp_path / "work"

    def tell():
        (path,) = wait_for(lambda: list(work.glob("*.started")))
        os.kill(int(path.stem.split("-")[1]), signal.SIGTERM)

    teller = meanwhile(tell)
    outcomes = run(tmp_path, "until stopped once")
    teller.join()
    assert [outcome.status for outcome in outcomes.values()] == ["ok"]
    assert len(list(work.glob("*.started"))) == 2
    assert len(list(work.glob("*.saved"))) == 1


# ----------------------------------------------------------------------- a cluster of its own


def raylet_of(process):
    (found,) = [pid for pid, name in of_the_session(process.pid).items() if name == "raylet"]
    return found


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_reaches_the_driver_only(tmp_path):
    """The signal goes to all of the group: Ray's own processes, and workers."""
    process = driver(
        tmp_path, "hf_select.training.executors.ray", "RayExecutor", "until stopped", jobs=2
    )
    wait_for(lambda: len(list(tmp_path.glob("*.started"))) == 2 or process.poll() is not None)
    words = Path(f"/proc/{raylet_of(process)}/cmdline").read_text().split("\0")
    folder = [word.partition("=")[2] for word in words if word.startswith("--temp_dir=")]
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert output == ""
    *ends, said = errors.splitlines()
    assert sorted(ends) == ["job0 stopped", "job1 stopped"]
    assert said == "stopped by SIGINT"
    assert len(list(tmp_path.glob("*.saved"))) == 2
    assert folder
    assert not Path(folder[0]).exists()
    assert not of_the_session(process.pid)


@pytest.mark.slow
def test_jobs_die_with_the_driver(tmp_path):
    process = driver(tmp_path, "hf_select.training.executors.ray", "RayExecutor", "hang", jobs=1)
    wait_for(lambda: (tmp_path / "grandchild.pid").exists() or process.poll() is not None)
    process.kill()
    process.communicate()
    job = int(next(tmp_path.glob("*.started")).stem.split("-")[1])
    grandchild = int((tmp_path / "grandchild.pid").read_text())
    wait_for(lambda: not alive(job) and not alive(grandchild))


@pytest.mark.slow
def test_without_ray_on_its_machine_a_driver_gives_up(tmp_path):
    process = driver(
        tmp_path, "hf_select.training.executors.ray", "RayExecutor", "until stopped", jobs=1
    )
    wait_for(lambda: list(tmp_path.glob("*.started")) or process.poll() is not None)
    os.kill(raylet_of(process), signal.SIGKILL)
    _, errors = process.communicate(timeout=150)
    assert process.returncode == 1, errors
    assert "the Ray cluster is lost: Ray has died on this machine" in errors


@pytest.fixture
def two_machines(tmp_path):
    """Two machines as far as Ray is concerned; the driver's has room for no job."""
    from ray.cluster_utils import Cluster

    ray.shutdown()  # the module's
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False},
    )
    nodes = [made.add_node(num_cpus=1, include_dashboard=False) for _ in range(2)]
    yield made, nodes
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_a_job_goes_on_when_its_machine_dies(two_machines, tmp_path):
    made, nodes = two_machines
    work = tmp_path / "work"

    def kill_machine():
        (path,) = wait_for(lambda: list(work.glob("*.started")))
        job = path.stem.split("-")[1]
        parent = int(Path(f"/proc/{job}/stat").read_text().rpartition(")")[2].split()[1])
        for node in nodes:
            for processes in node.all_processes.values():
                if any(p.process.pid == parent for p in processes):
                    made.remove_node(node, allow_graceful=False)
                    return
        raise AssertionError(f"{parent} is no machine's")

    killer = meanwhile(kill_machine)
    began = time.monotonic()
    outcomes = run(tmp_path, "nap", address=made.address, jobs=1)
    killer.join()
    assert [(o.status, o.reason) for o in outcomes.values()] == [("ok", "")]
    assert len(list(work.glob("*.started"))) == 2
    assert time.monotonic() - began < 120


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_retries": "-1"}, "max_retries is '-1', but must be a whole number"),
        ({"num_gpus": "1.5"}, "num_gpus is '1.5', but must be"),
        ({"num_cpus": "0"}, "num_cpus is '0', but must be"),
        ({"address": "ray://head:10001"}, "address is 'ray://head:10001', but must be host:port"),
        ({"nodes": "3"}, "unknown option of the executor ray 'nodes'"),
    ],
)
def test_bad_options_are_refused(catalog, repo, options, words):
    before = sorted(repo.path.rglob("*"))
    with pytest.raises(InputError, match=words) as error:
        run_benchmark(catalog, repo, RECIPE, engine=Engine("ray", options))
    assert sorted(repo.path.rglob("*")) == before
    assert isinstance(error.value, UnknownNameError) == ("nodes" in options)


def test_without_ray_its_extra_is_named(catalog, repo, monkeypatch):
    monkeypatch.setattr("hf_select.training.executors.ray.find_spec", lambda name: None)
    before = sorted(repo.path.rglob("*"))
    with pytest.raises(InputError, match="the executor ray needs Ray") as error:
        run_benchmark(catalog, repo, RECIPE, engine=Engine("ray"))
    assert error.value.hint == "pip install 'hf-select[ray]'"
    assert sorted(repo.path.rglob("*")) == before
    assert importlib.util.find_spec("ray")


def test_more_than_any_machine_has_is_refused(cluster, catalog, repo):
    before = files(repo.path)
    with pytest.raises(InputError, match=r"asks for 1 GPUs .* the most are 0 GPUs"):
        run_benchmark(catalog, repo, RECIPE, engine=Engine("ray", {"num_gpus": "1"}))
    assert files(repo.path) == before
    with pytest.raises(InputError, match="asks for 0 GPUs and 4096 CPUs"):
        run_benchmark(catalog, repo, RECIPE, engine=Engine("ray", {"num_cpus": "4096"}))


def test_a_machine_that_does_not_see_the_results_is_named(cluster, catalog, repo, monkeypatch):
    """There is one machine only, so the file isn't written that is looked for on each."""
    monkeypatch.setattr(Board, "make", lambda self: self.folder.mkdir(parents=True))
    before = files(repo.path)
    with pytest.raises(InputError, match=rf"{socket.gethostname()} .* does not see {repo.path}"):
        run_benchmark(catalog, repo, RECIPE, engine=Engine("ray"))
    assert files(repo.path) == before


def test_where_nobody_answers_is_said_soon(catalog, repo, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(InputError, match=f"no Ray cluster can be reached at {address}"):
        run_benchmark(catalog, repo, RECIPE, engine=Engine("ray", {"address": address}))
    assert time.monotonic() - began < 15


def test_what_answers_but_is_no_cluster_is_given_up(catalog, repo, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("hf_select.training.executors.ray.CONNECT_SECONDS", 2.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match="no answer within 2 seconds"):
            run_benchmark(catalog, repo, RECIPE, engine=Engine("ray", {"address": address}))


def test_a_machine_that_came_later_and_does_not_see_the_results_fails_the_job(tmp_path):
    board = Board.beside(tmp_path / "logs")
    board.make()
    job = Job("fine", ("fine", str(tmp_path)))
    sent = remote_job(job_functions.act, job, board=board, logs=tmp_path, threads=1, gpu=True)
    board.remove()
    status, reason = sent.run(board_module.BoardStop(board))
    assert status == "failed"
    assert reason == f"{socket.gethostname()} does not see the folder {tmp_path}"


def test_a_function_without_a_name_is_refused(tmp_path):
    board = Board.beside(tmp_path / "logs")
    with pytest.raises(InputError, match="can't be sent to another machine"):
        remote_job(
            lambda argument, stop: None,
            Job("a", None),
            board=board,
            logs=tmp_path,
            threads=1,
            gpu=False,
        )


def test_the_board_tells_jobs_to_stop(tmp_path):
    board = Board.beside(tmp_path / "logs")
    board.make()
    stop = board_module.BoardStop(board)
    assert not stop()
    board.ask_to_stop()
    assert not stop()  # looked at a moment ago
    time.sleep(board_module.LOOK_SECONDS)
    assert stop()
    gone = board_module.BoardStop(board)
    board.remove()
    assert gone()
