"""Which of the launched processes this one is, and what is refused before anything starts."""

import os

import pytest

from hf_select import launched
from hf_select.errors import InputError
from hf_select.launched import Place, check_launch, check_precision, go_apart, place
from hf_select.training.executors import base


@pytest.fixture
def launch(monkeypatch):
    """Say that so many processes were launched, on a machine with so many GPUs."""

    def say(*, rank=0, world=1, local_rank=None, local_world=None, gpus=0):
        values = {
            "RANK": rank,
            "WORLD_SIZE": world,
            "LOCAL_RANK": rank if local_rank is None else local_rank,
            "LOCAL_WORLD_SIZE": world if local_world is None else local_world,
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": 29500,
        }
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(f"GPU-{i}" for i in range(gpus)))

    monkeypatch.setattr(launched, "_left", None)
    yield say
    launched._left = None


def test_a_process_alone_is_the_first_of_one(monkeypatch):
    for name in launched.LAUNCHER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert place() == Place(0, 1, 0, 1)
    assert launched.is_main_process()
    assert check_launch() == "jobs"


def test_processes_share_the_jobs_unless_told_otherwise(launch):
    launch(rank=1, world=2)
    assert check_launch() == "jobs"
    assert check_launch("data", 2) == "data"
    assert not launched.is_main_process()


@pytest.mark.parametrize(
    ("there", "asked", "words"),
    [
        ({"world": 1}, {"parallel": "data"}, "only one is running"),
        ({"world": 1}, {"processes": 2}, "2 processes were asked for, but 1 is running"),
        ({"world": 3}, {"processes": 2}, "2 processes were asked for, but 3 are running"),
        ({"world": 2}, {"parallel": "both"}, "must be one of jobs, data"),
        ({"world": 4, "gpus": 2}, {}, "4 processes run on this machine, which has 2 GPUs"),
        ({"world": 2, "gpus": 1}, {}, "has 1 GPU for them"),
    ],
)
def test_what_is_not_as_it_was_asked_for_is_refused_with_the_way_out(launch, there, asked, words):
    launch(**there)
    with pytest.raises(InputError, match=words) as error:
        check_launch(**asked)
    if "processes" in asked or asked.get("parallel") == "data":
        assert "torchrun" in error.value.hint


def test_as_many_processes_as_gpus_and_several_machines(launch):
    launch(rank=5, world=8, local_rank=1, local_world=4, gpus=4)
    assert check_launch(processes=8) == "jobs"


def test_apart_a_process_is_alone_on_the_gpu_of_its_rank(launch):
    launch(rank=3, world=4, local_rank=1, local_world=2, gpus=2)
    go_apart()
    assert place() == Place(3, 4, 1, 2, apart=True)
    assert not {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"} & set(os.environ)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-1"
    go_apart()
    assert place().rank == 3


def test_launched_processes_share_the_cores(launch, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(12), raising=False)
    launch(world=6, local_world=3)
    assert base.cores() == 4
    launch(world=64, local_world=64)
    assert base.cores() == 1


def test_on_a_busy_machine_one_thread_is_advised(launch, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (3.5, 0.0, 0.0), raising=False)
    launch()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert launched.busy_cores() == ""
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "a load of 3.5 on 4 cores" in launched.busy_cores()
    monkeypatch.setattr(os, "getloadavg", lambda: (1.0, 0.0, 0.0), raising=False)
    assert launched.busy_cores() == ""


def test_half_precision_of_a_gpu_without_one(launch):
    launch(gpus=0)
    check_precision("bf16")
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        check_precision("fp16")
    launch(gpus=1)
    check_precision("fp16")
