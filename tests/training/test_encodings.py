import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import job_functions
import numpy as np
import pytest
import tinytrial
import torch
from tiny import tiny_image_folder, tiny_image_model, tiny_text_csv, tiny_text_model
from tinylists import make_list_target

from hf_select.files import TEMPORARY
from hf_select.results.repo import ResultsRepo
from hf_select.tasks.base import ENCODED, get_task
from hf_select.tasks.data import load_target
from hf_select.tasks.encoded import Encoded, Plain
from hf_select.tasks.image import ImageEncoded
from hf_select.tasks.text import TextEncoded
from hf_select.training import benchmark, encodings
from hf_select.training.benchmark import run_benchmark
from hf_select.training.encodings import DiskEncodings

posix = pytest.mark.skipif(os.name != "posix", reason="locks of files")
HERE = Path(__file__).parent


def rows(count=10, seed=0):
    numbers = np.random.default_rng(seed)
    lengths = numbers.integers(1, 9, count)
    return TextEncoded(
        {"input_ids": numbers.integers(0, 99, int(lengths.sum()))},
        lengths,
        numbers.integers(0, 3, count),
        padding={"input_ids": 0},
        pad_left=False,
    )


def never():
    raise AssertionError("it was made anew")


def files(folder):
    return sorted(path for path in folder.iterdir() if path.suffix == "" and path.name[0] != ".")


def same(one, other):
    everything = np.arange(len(one))
    a, b = one.batch(everything), other.batch(everything)
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and torch.equal(a[name], b[name]) for name in a
    )


# ----------------------------------------------------------------------------------- the same


def text(folder, **options):
    model = tiny_text_model(folder / "model", architecture="bert")
    data = tiny_text_csv(folder / "t.csv", 40, **options)
    return model, load_target(data)


def image(folder):
    return tiny_image_model(folder / "model"), load_target(tiny_image_folder(folder / "i", 30))


def lists(folder, kind):
    return tinytrial.make_model(folder / "model"), make_list_target(folder / "t", kind)


KINDS = {
    "text": text,
    "pair": lambda folder: text(folder, pair=True),
    "rating": lambda folder: text(folder, regression=True),
    "image": image,
    "spans": lambda folder: lists(folder, "spans"),
    "choices": lambda folder: lists(folder, "choices"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_kept_rows_give_the_very_batches_of_fresh_ones(tmp_path, kind, side):
    if (kind, side) == ("image", "left"):
        pytest.skip("images have no sides")
    model, target = KINDS[kind](tmp_path)
    task = get_task(target.task)
    processor = task.load_processor(model)
    if kind != "image":
        processor.padding_side = side
    fresh = task.encode(processor, target.train, max_length=12)
    DiskEncodings(tmp_path / "kept").get("a", lambda: fresh)
    kept = DiskEncodings(tmp_path / "kept").get("a", never)
    assert type(kept) is type(fresh)
    assert same(kept, fresh)
    assert kept.work().tolist() == fresh.work().tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns of arrays that can't be written to
        batch = kept.batch(np.array([3, 1]))
        by_row = kept.collate([kept[3], kept[1]])
    for name, tensor in batch.items():
        assert torch.equal(tensor, by_row[name])
        tensor += 1  # and nothing of it is the file's
    assert same(kept, fresh)
    assert not any(array.flags.writeable for array in kept.plain().arrays.values())


def test_what_is_not_just_arrays_is_not_kept(tmp_path):
    model, target = image(tmp_path)
    processor = get_task(target.task).load_processor(model)
    made = ImageEncoded(processor, target.train, limit=0)
    assert DiskEncodings(tmp_path / "kept").get("a", lambda: made) is made
    assert not list((tmp_path / "kept").iterdir())


def test_every_kind_is_known():
    for plain in (
        rows().plain(),
        Plain("image", {"pixels": np.zeros(1), "labels": np.zeros(1)}, {}),
    ):
        assert isinstance(ENCODED[plain.kind](plain), Encoded)


def test_another_version_of_a_library_encodes_anew(tmp_path, monkeypatch):
    DiskEncodings(tmp_path).get("a", rows)
    encodings._versions.cache_clear()
    monkeypatch.setattr(encodings, "version", lambda name: "99")
    try:
        with pytest.raises(AssertionError, match="anew"):
            DiskEncodings(tmp_path).get("a", never)
    finally:
        encodings._versions.cache_clear()


# ------------------------------------------------------------------------------------- damaged


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGES = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[:-1],
    "cut off in the header": lambda data: data[:30],
    "longer": lambda data: data + b"\0",
    "a bit of an array": lambda data: flip(data, len(data) - 70),
    "a bit of a number in the header": lambda data: flip(data, data.index(b'"input_ids": 0') + 13),
    "zeros": lambda data: bytes(len(data)),
    "something else": lambda data: b"{}\n" + data,
    "a list": lambda data: b"[1]\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_anew(tmp_path, damage):
    DiskEncodings(tmp_path).get("a", rows)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    made = []

    def make():
        made.append(1)
        return rows()

    assert same(DiskEncodings(tmp_path).get("a", make), rows())
    assert made
    assert file.read_bytes() == whole
    assert same(DiskEncodings(tmp_path).get("a", never), rows())


@posix
def test_killed_while_writing_it_leaves_nothing_that_is_trusted(tmp_path):
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(HERE)!r})
        from pathlib import Path
        import test_encodings
        from hf_select.training import encodings
        whole = encodings._parts
        times = []
        def parts(plain):
            times.append(1)
            for i, part in enumerate(whole(plain)):
                if i == 3 and len(times) == 2:  # the second time it writes
                    os.kill(os.getpid(), signal.SIGKILL)
                yield part
        encodings._parts = parts
        encodings.DiskEncodings(Path({str(tmp_path)!r})).get("a", test_encodings.rows)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, check=False
    )
    assert run.returncode == -signal.SIGKILL
    assert files(tmp_path) == []
    assert list(tmp_path.glob(TEMPORARY + "*"))
    made = []

    def make():
        made.append(1)
        return rows()

    assert same(DiskEncodings(tmp_path).get("a", make), rows())  # nobody holds the lock
    assert made
    assert not list(tmp_path.glob(TEMPORARY + "*"))


# ------------------------------------------------------------------------------- room on the disk


def test_a_full_disk_is_no_error(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hf_select.files.os.fsync", full)
    assert same(DiskEncodings(tmp_path).get("a", rows), rows())
    assert files(tmp_path) == []
    assert not list(tmp_path.glob(TEMPORARY + "*"))


def test_a_folder_that_can_not_be_is_no_error(tmp_path):
    (tmp_path / "encoded").write_text("a file where the folder should be")
    assert same(DiskEncodings(tmp_path / "encoded").get("a", rows), rows())


def test_what_goes_wrong_while_encoding_is_raised_and_the_lock_let_go(tmp_path):
    def full():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        DiskEncodings(tmp_path).get("a", full)
    assert same(DiskEncodings(tmp_path).get("a", rows), rows())


def test_the_least_recently_used_go_first(tmp_path):
    size = len(encodings._head(rows().plain())) + encodings._size(rows().plain())
    for name in "abc":
        DiskEncodings(tmp_path, max_bytes=3 * size).get(name, rows)
    kept = {path.name: path for path in files(tmp_path)}
    assert len(kept) == 3
    for age, path in enumerate(sorted(files(tmp_path), key=lambda p: p.stat().st_mtime_ns)):
        os.utime(path, (time.time() - 100 + age,) * 2)
    DiskEncodings(tmp_path).get("a", never)  # so b is the oldest one
    DiskEncodings(tmp_path, max_bytes=3 * size).get("d", rows)
    for name in "acd":
        DiskEncodings(tmp_path).get(name, never)
    with pytest.raises(AssertionError, match="anew"):
        DiskEncodings(tmp_path).get("b", never)


def test_what_is_too_big_alone_is_not_kept_and_pushes_nobody_out(tmp_path):
    DiskEncodings(tmp_path).get("a", rows)
    cache = DiskEncodings(tmp_path, max_bytes=1000)
    big = cache.get("big", lambda: rows(1000))
    assert cache.get("big", never) is big
    assert len(files(tmp_path)) == 1


def test_a_tenth_of_the_disk_is_the_most(tmp_path, monkeypatch):
    monkeypatch.setattr(encodings, "disk_usage", lambda folder: type("", (), {"free": 10_000}))
    DiskEncodings(tmp_path).get("a", rows)
    DiskEncodings(tmp_path).get("b", lambda: rows(20))
    assert len(files(tmp_path)) == 1


@posix
def test_what_is_in_use_is_not_removed(tmp_path):
    DiskEncodings(tmp_path).get("a", rows)
    used = DiskEncodings(tmp_path).get("a", never)
    small = DiskEncodings(tmp_path, max_bytes=files(tmp_path)[0].stat().st_size)
    small.get("b", rows)
    assert len(files(tmp_path)) == 1  # so there is no room
    assert same(DiskEncodings(tmp_path).get("a", never), rows())
    first = used._values["input_ids"]
    del used
    small.get("c", rows)
    DiskEncodings(tmp_path).get("a", never)  # an array of it still is
    del first
    small.get("d", rows)
    with pytest.raises(AssertionError, match="anew"):
        DiskEncodings(tmp_path).get("a", never)


# ------------------------------------------------------------------------------ several at once


@posix
def test_of_several_that_ask_at_once_one_encodes(tmp_path):
    made, got = [], []
    begun = threading.Barrier(3)

    def make():
        made.append(1)
        time.sleep(0.3)
        return rows()

    def ask():
        begun.wait()
        got.append(DiskEncodings(tmp_path).get("a", make))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert all(same(found, rows()) for found in got)
    assert len(list(tmp_path.iterdir())) == 1  # no lock either


@posix
def test_one_that_takes_too_long_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(encodings, "PATIENCE", 0.2)
    release = threading.Event()

    def slow():
        release.wait(20)
        return rows()

    thread = threading.Thread(target=lambda: DiskEncodings(tmp_path).get("a", slow))
    thread.start()
    while not list(tmp_path.glob("*.lock")):
        time.sleep(0.01)
    assert same(DiskEncodings(tmp_path).get("a", rows), rows())
    assert thread.is_alive()
    release.set()
    thread.join()
    assert len(files(tmp_path)) == 1


def test_a_tokenizer_encodes_a_split_once_for_all_models_and_seeds(tmp_path, monkeypatch):
    catalog = tinytrial.make_catalog(tmp_path / "catalog", models=4, datasets=1)
    repo = ResultsRepo.open_or_create(tmp_path / "results")
    monkeypatch.setattr(benchmark, "run_job", job_functions.counted)
    summary = run_benchmark(catalog, repo, tinytrial.RECIPE, seeds=(0, 1), jobs=2)
    assert (summary.done, summary.failed) == (8, 0)
    encoded = tmp_path / "results" / "encoded.txt"
    assert sorted(encoded.read_text().split()) == ["21", "23", "52"]  # rows of each split
    again = run_benchmark(catalog, repo, tinytrial.RECIPE, seeds=(2,), jobs=2)
    assert again.done == 4
    assert len(encoded.read_text().split()) == 3
