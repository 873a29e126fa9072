from types import SimpleNamespace

import numpy as np
import pytest
import tinytrial
import torch

from hf_select.errors import ModelError
from hf_select.records import Recipe
from hf_select.tasks.encoded import Encoded
from hf_select.training import memory
from hf_select.training.trial import AccelerateTrial


class Rows(Encoded):
    def __init__(self, count):
        self.lengths = self.labels = np.zeros(count, dtype=np.int64)

    def __getitem__(self, i):
        return {"labels": self.labels[i]}

    def collate(self, rows):
        raise NotImplementedError


def test_a_loaded_trial_holds_what_was_expected_of_its_weights_file(tmp_path):
    model = tinytrial.make_model(tmp_path / "model")
    target = tinytrial.make_target(tmp_path / "data")
    trial = AccelerateTrial("tiny", model, target, tinytrial.RECIPE)
    body = sum(p.numel() for p in trial.module.distilbert.parameters())
    assert memory.expected_bytes(model) == 16 * body
    every = sum(p.numel() for p in trial.module.parameters())
    assert trial.num_bytes == pytest.approx(16 * every, rel=0.01)  # and a buffer or two
    trial.advance(0.5)
    moments = [v for row in trial._optimizer.state.values() for v in row.values()]
    grown = sum(m.nbytes for m in moments) + 8 * every  # weights and gradients beside them
    assert trial.num_bytes == pytest.approx(grown, rel=0.02)


def test_weights_in_half_precision_are_expected_in_full(tmp_path):
    from transformers import AutoModel

    full = tinytrial.make_model(tmp_path / "full")
    half = tmp_path / "half"
    AutoModel.from_pretrained(full, dtype=torch.float16).save_pretrained(half)
    assert memory.expected_bytes(half) == memory.expected_bytes(full)


def test_a_weights_file_that_is_cut_off_is_a_model_error(tmp_path):
    model = tinytrial.make_model(tmp_path / "model")
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ModelError, match="is damaged"):
        memory.expected_bytes(model)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(
        memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=8_000_000)
    )
    return tmp_path


def test_trials_get_half_of_what_is_free_and_rows_a_quarter(machine):
    assert memory.for_trials() == 4_000_000
    assert memory.for_rows() == 2_000_000


def test_a_container_s_limit_counts_and_processes_share(machine, monkeypatch):
    (machine / "memory.current").write_text("1000000\n")
    (machine / "memory.max").write_text("max\n")
    assert memory.free_ram() == 8_000_000
    (machine / "memory.max").write_text("3000000\n")
    assert memory.free_ram() == 2_000_000
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory.free_ram() == 500_000


def test_on_a_gpu_trials_get_most_of_what_is_free_there(monkeypatch):
    monkeypatch.setattr(memory, "processes", lambda: SimpleNamespace(device=torch.device("cuda:0")))
    monkeypatch.setattr(memory.torch.cuda, "mem_get_info", lambda device: (600, 1000))
    monkeypatch.setattr(memory.torch.cuda, "memory_reserved", lambda device: 500)
    monkeypatch.setattr(memory.torch.cuda, "memory_allocated", lambda device: 100)
    assert memory.for_trials() == 800


def test_the_process_with_the_least_decides(machine, monkeypatch):
    monkeypatch.setattr(memory, "gather_object", lambda own: [*own, 7])
    assert memory.for_trials() == 7


def test_encoded_rows_stay_without_a_trial_up_to_a_bound():
    cache, made = memory.KeptEncodings(3 * Rows(10).num_bytes), []

    def ask(key, count=10):
        def make():
            made.append(key)
            return Rows(count)

        cache.get(key, make)

    for key in ("a", "b", "c", "a", "b", "c"):
        ask(key)
    assert made == ["a", "b", "c"]
    ask("a")
    ask("d")  # b was asked for least recently
    for key in ("a", "c", "d", "b"):
        ask(key)
    assert made == ["a", "b", "c", "d", "b"]
    assert cache.num_bytes <= cache.max_bytes
    ask("huge", 1000)
    ask("b")
    assert made[-1] == "huge"


def test_rows_that_are_too_big_to_stay_are_shared_while_they_are_used():
    cache = memory.KeptEncodings(0)
    mine = cache.get("a", lambda: Rows(10))
    assert cache.get("a", lambda: Rows(10)) is mine


def test_the_bytes_of_encoded_rows_are_those_of_their_arrays(tmp_path):
    model = tinytrial.make_model(tmp_path / "model")
    target = tinytrial.make_target(tmp_path / "data")
    trial = AccelerateTrial("tiny", model, target, Recipe())
    rows = trial._train_rows
    assert rows.num_bytes == 8 * (len(rows) * 3 + 1 + int(rows.lengths.sum()))
