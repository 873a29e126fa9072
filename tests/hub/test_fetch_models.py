"""Models of the Hub as folders: what is taken, what is refused; faults as in FAULTS.md."""

from __future__ import annotations

import json
import math
import pickle
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants, scan_cache_dir
from safetensors.numpy import save
from tiny import tiny_image_model, tiny_text_model

from hf_select.demo.hub_server.answers import Answer
from hf_select.demo.hub_server.handler import Handler
from hf_select.errors import AccessError, HubError, MissingError, ModelError, SetupError
from hf_select.hub import models
from hf_select.hub.client import FileInfo
from hf_select.hub.models import fetch_model, inspect_model, weights_digest
from hf_select.records import ModelEntry

NAME, TASK = "lab/tiny", "text-classification"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {"text": tiny_text_model(root / "text"), "image": tiny_image_model(root / "image")}


@pytest.fixture
def files(folders):
    return {path.name: path.read_bytes() for path in folders["text"].iterdir()}


@pytest.fixture(autouse=True)
def another_process(monkeypatch):
    monkeypatch.setattr(models, "_VERIFIED", set())


def entry(commit, **more):
    return ModelEntry(NAME, commit, TASK, **more)


def weights(size=4, count=1):
    return save({f"layer{i}.weight": np.zeros((size, size), np.float32) for i in range(count)})


def asked(hub, glob="*/resolve/*"):
    """The files that were asked for, in order."""
    return [request.path.rpartition("/")[2] for request in hub.requests(path=glob)]


def cached():
    """Every file of the cache but locks."""
    root = Path(constants.HF_HUB_CACHE)
    return [p for p in root.rglob("*") if not p.is_dir() and ".locks" not in p.parts]


def refused(hub, client, words, files, **more):
    """The model is refused with those words, and its weights were not downloaded."""
    commit = hub.add("model", NAME, files, **more)
    with pytest.raises(ModelError, match=words) as caught:
        fetch_model(client(hub), entry(commit))
    assert NAME in caught.value.message
    whole = [r for r in hub.requests(path="*safetensors") if "range" not in r.headers]
    assert whole == []
    assert not [p for p in cached() if p.name.endswith((".bin", ".safetensors", ".incomplete"))]
    found = inspect_model(client(hub), NAME, commit)
    assert found.problems
    assert found.problems[0] in caught.value.message
    return found


# ---------------------------------------------------------------------------------- what is taken


@pytest.mark.parametrize("kind", ["text", "image"])
def test_a_model_is_a_folder_that_loads(hub, client, folders, kind):
    from hf_select.tasks import get_task

    there = {path.name: path.read_bytes() for path in folders[kind].iterdir()}
    more = {
        "README.md": "# Tiny",
        "pytorch_model.bin": b"\x80\x02pickle",
        "optimizer.pt": b"\x80\x02pickle",
        "modeling_tiny.py": "raise SystemExit",
        "model.onnx": b"onnx",
        "tiny.gguf": b"GGUF",
        "onnx/model.safetensors": weights(),
        "generation_config.json": "{}",
        "spiece.model": b"pieces",
    }
    commit = hub.add("model", NAME, {**there, **more})
    one = client(hub)
    folder = fetch_model(one, entry(commit))
    taken = {*there, "generation_config.json", "spiece.model"}
    assert {path.name for path in folder.iterdir()} == taken
    assert folder.parts[-2:] == ("snapshots", commit)
    task = get_task(f"{kind}-classification")
    model, trained = task.load_checkpoint(folder)
    assert trained
    task.load_processor(folder)
    assert sum(p.numel() for p in model.parameters()) > 0
    # one request for the list, one a file, one for the header
    assert len(hub.log) == one.requests == 2 + len(taken)
    assert asked(hub)[-1] == WEIGHTS
    (repo,) = scan_cache_dir(constants.HF_HUB_CACHE).repos
    assert repo.nb_files == len(taken)


def test_a_second_fetch_asks_nothing(hub, client, files):
    commit = hub.add("model", NAME, files)
    folder = fetch_model(client(hub), entry(commit))
    before = len(hub.log)
    assert fetch_model(client(hub), entry(commit)) == folder
    models._VERIFIED.clear()
    assert fetch_model(client(hub), entry(commit)) == folder
    hub.remove("model", NAME)
    assert fetch_model(client(hub), entry(commit)) == folder
    assert len(hub.log) == before


def shards():
    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    index = {"weight_map": {"a": first, "b": second}, "metadata": {"total_size": 68}}
    return {
        "config.json": "{}",
        "model.safetensors.index.json": json.dumps(index),
        first: save({"a": np.zeros((3, 4), np.float32)}),
        second: save({"b": np.zeros(5, np.float32)}),
    }


def test_shards(hub, client):
    commit = hub.add("model", NAME, {**shards(), "model-00003-of-00002.safetensors": b"other"})
    found = inspect_model(client(hub), NAME, commit)
    assert (found.num_parameters, found.problems) == (17, ())
    assert len(hub.log) == 5  # list, config, index, two headers
    folder = fetch_model(client(hub), entry(commit, weights_sha256=found.weights_sha256))
    assert {path.name for path in folder.iterdir()} == set(shards())


def test_what_is_cut_off_goes_on(hub, client, files, monkeypatch):
    commit = hub.add("model", NAME, files)
    hub.fault(path=f"*{WEIGHTS}", status=503, after=1, times=math.inf)
    with pytest.raises(HubError, match="answered 503"):
        fetch_model(client(hub, attempts=2), entry(commit))
    hub.faults.clear()
    before = len(hub.log)
    fetch_model(client(hub), entry(commit))
    # the list, the header, and what was missing: nothing that is there comes again
    assert asked(hub)[-2:] == [WEIGHTS, WEIGHTS]
    assert len(hub.log) - before == 3


def test_an_old_commit_is_fetched_after_a_force_push(hub, client, files):  # 28
    old = hub.add("model", NAME, files)
    new = hub.force_push("model", NAME, {"config.json": "{}"})
    folder = fetch_model(client(hub), entry(old))
    assert (folder / "config.json").read_bytes() == files["config.json"]
    assert new not in str(cached())


# --------------------------------------------------------------------------- 14, 15: corrupt files


@pytest.fixture
def meddle(monkeypatch):
    """Something on the way changes a file, wherever it is asked for whole."""

    def begin(path, change):
        ranged = Handler._ranged

        def meddled(self, reply):
            if self.path.endswith(path) and "Range" not in self.headers:
                return Answer(change(bytes(reply.body)), reply.status, reply.headers)
            return ranged(self, reply)

        monkeypatch.setattr(Handler, "_ranged", meddled)

    return begin


CHANGES = {
    "truncated": lambda data: data[:-50],
    "flipped": lambda data: data[:-50] + bytes([data[-50] ^ 4]) + data[-49:],
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("path", [WEIGHTS, "tokenizer.json"])
def test_corrupt_files_are_named(hub, client, files, meddle, kind, path):
    commit = hub.add("model", NAME, files)
    meddle(path, CHANGES[kind])
    with pytest.raises(ModelError, match=f"{path} of {NAME} is corrupt"):
        fetch_model(client(hub), entry(commit))
    whole = [r for r in hub.requests(path=f"*{path}") if "range" not in r.headers]
    assert len(whole) == 2  # one re-download
    assert not [p for p in cached() if p.name == path or p.name.endswith(".incomplete")]


def test_a_file_that_is_corrupt_once_is_downloaded_again(hub, client, files, meddle):
    commit = hub.add("model", NAME, files)
    changes = iter([CHANGES["flipped"]])
    meddle(WEIGHTS, lambda data: next(changes, lambda same: same)(data))
    folder = fetch_model(client(hub), entry(commit))
    assert (folder / WEIGHTS).read_bytes() == files[WEIGHTS]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "removed"])
def test_a_damaged_cache_is_mended(hub, client, files, damage):
    commit = hub.add("model", NAME, files)
    path = fetch_model(client(hub), entry(commit)) / WEIGHTS
    before = len(hub.log)
    good = path.read_bytes()
    if damage == "removed":
        path.resolve().unlink()
    else:
        path.resolve().write_bytes(CHANGES[damage](good))
    models._VERIFIED.clear()
    assert (fetch_model(client(hub), entry(commit)) / WEIGHTS).read_bytes() == good
    assert asked(hub)[-1] == WEIGHTS
    assert len(hub.log) == before + 1


def test_other_weights_than_the_catalogs(hub, client, files):
    commit = hub.add("model", NAME, files)
    with pytest.raises(ModelError, match="but the catalog says aaaaaaaa"):
        fetch_model(client(hub), entry(commit, weights_sha256="a" * 64))
    assert all("range" in r.headers for r in hub.requests(path=f"*{WEIGHTS}"))
    right = inspect_model(client(hub), NAME, commit).weights_sha256
    fetch_model(client(hub), entry(commit, weights_sha256=right))
    with pytest.raises(ModelError, match="but the catalog says aaaaaaaa"):
        fetch_model(client(hub), entry(commit, weights_sha256="a" * 64))


# ----------------------------------------------------------------------- 16: impossible headers


def big_header():
    return (10 * 2**30).to_bytes(8, "little") + b"{" + bytes(1000)


def header_of(document, data=b""):
    text = json.dumps(document).encode() if not isinstance(document, bytes) else document
    return len(text).to_bytes(8, "little") + text + data


BAD_HEADERS = {
    "10 GB": (big_header(), "its header claims 10737418240 of 1009 bytes"),
    "short": (b"12345", "damaged"),
    "more than the file": ((5000).to_bytes(8, "little") + bytes(100), "claims 5000 of 108"),
    "no JSON": (header_of(b"x" * 50), "can't be read"),
    "no object": (header_of([1, 2]), "can't be read"),
    "deep": (header_of(b"[" * 90_000), "can't be read"),
    "more data than there is": (
        header_of({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}),
        "its header describes",
    ),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_an_impossible_header(hub, client, files, name):
    data, words = BAD_HEADERS[name]
    found = refused(hub, client, words, {**files, WEIGHTS: data})
    assert WEIGHTS in found.problems[0]


# ------------------------------------------------------------------- 17, 18, 19: what could run


class Canary:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_is_not_even_downloaded(hub, client, files, tmp_path):
    del files[WEIGHTS]
    bait = pickle.dumps(Canary(tmp_path / "canary"))
    refused(hub, client, "pickled weights only", {**files, "pytorch_model.bin": bait})
    assert "pytorch_model.bin" not in asked(hub)
    assert not (tmp_path / "canary").exists()
    pickle.loads(bait)  # it would have
    assert (tmp_path / "canary").exists()


def test_no_weights_at_all(hub, client, files):
    del files[WEIGHTS]
    refused(hub, client, "has no weights", files)


CODE = {"auto_map": {"AutoModel": "code.Model"}}


def test_custom_code(hub, client, files):
    settings = json.dumps({**json.loads(files["config.json"]), **CODE})
    files |= {"config.json": settings, "code.py": "raise SystemExit"}
    refused(hub, client, "needs custom code", files)
    assert "code.py" not in asked(hub)
    commit = hub.repo("model", NAME).head.sha
    folder = fetch_model(client(hub), entry(commit), allow_custom_code=True)
    assert not (folder / "code.py").exists()
    with pytest.raises(ModelError, match="needs custom code"):
        fetch_model(client(hub), entry(commit))


def test_custom_code_of_a_tokenizer(hub, client, files):
    settings = json.dumps({**json.loads(files["tokenizer_config.json"]), **CODE})
    commit = hub.add("model", NAME, {**files, "tokenizer_config.json": settings})
    with pytest.raises(ModelError, match=r"custom code \(auto_map in tokenizer_config.json\)"):
        fetch_model(client(hub), entry(commit))
    assert all("range" in r.headers for r in hub.requests(path=f"*{WEIGHTS}"))


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil", "a\\..\\evil.json", "e\nvil.json"])
def test_file_names_that_leave_the_folder(hub, client, files, name, tmp_path):
    refused(hub, client, "a file named", {**files, name: "{}"})
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize(
    "shard", ["../../evil.safetensors", "/evil.safetensors", "x.bin", "no.safetensors"]
)
def test_an_index_that_names_foreign_files(hub, client, files, shard):
    del files[WEIGHTS]
    index = json.dumps({"weight_map": {"a": shard}})
    extra = {"x.bin": b"\x80pickle", "model.safetensors.index.json": index}
    refused(hub, client, "no weights file of the model", {**files, **extra})


@pytest.mark.parametrize(
    "name", ["../../evil", "lab/../evil", "/evil", "lab/e\\vil", "a/b/c", "lab/e\n"]
)
def test_names_of_records_never_become_other_paths(hub, client, name):
    with pytest.raises(AccessError):
        fetch_model(client(hub), ModelEntry(name, "a" * 40, TASK))
    with pytest.raises(AccessError):
        inspect_model(client(hub), name, "a" * 40)
    assert (hub.log, cached()) == ([], [])


@pytest.mark.parametrize(
    "revision", ["main", "", "../../evil", "A" * 40, "a" * 39, "a" * 40 + "\n"]
)
def test_only_commits_are_pinned(hub, client, revision):
    with pytest.raises(ModelError, match="40 hex digits"):
        fetch_model(client(hub), entry(revision))
    assert hub.log == []


BAD_SETTINGS = [b"{", b"[]", b"\xff\xfe", b"[" * 100_000]


@pytest.mark.parametrize("settings", BAD_SETTINGS, ids=range(len(BAD_SETTINGS)))
def test_settings_that_are_none(hub, client, files, settings):
    refused(hub, client, "config.json", {**files, "config.json": settings})


def test_a_file_that_is_far_too_big(hub, client, files, monkeypatch):
    monkeypatch.setattr(models, "SMALL", 400)
    refused(hub, client, "more than such a file can have", files)


# -------------------------------------------------------------------------------------- the scan


def scan(path, level):
    return {
        "securityRepoStatus": {
            "scansDone": True,
            "filesWithIssues": [{"path": path, "level": level}],
        }
    }


def test_an_unsafe_scan(hub, client, files):
    extra = {"pytorch_model.bin": b"\x80bait"}
    found = refused(
        hub, client, "scan says that pytorch_model.bin is unsafe", {**files, **extra},
        extra=scan("pytorch_model.bin", "unsafe"),
    )  # fmt: skip
    assert found.security == "unsafe"


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ({}, "safe"),
        (scan("README.md", "suspicious"), "suspicious"),
        ({"securityRepoStatus": {"scansDone": False, "filesWithIssues": []}}, "queued"),
    ],
)
def test_a_scan_without_a_verdict_is_told_and_no_hindrance(hub, client, files, extra, status):
    commit = hub.add("model", NAME, {**files, "README.md": "# Tiny"}, extra=extra)
    found = inspect_model(client(hub), NAME, commit)
    assert (found.security, found.problems) == (status, ())
    fetch_model(client(hub), entry(commit))


# -------------------------------------------------------------------------------------- inspection


def test_an_inspection_takes_three_requests(hub, client, files):
    commit = hub.add("model", NAME, files)
    one = client(hub)
    found = inspect_model(one, NAME, commit)
    assert len(hub.log) == 3
    assert found.problems == ()
    assert found.architecture == "DistilBertForSequenceClassification"
    data = files[WEIGHTS]
    tensors = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors.pop("__metadata__", None)
    assert found.num_parameters == sum(math.prod(row["shape"]) for row in tensors.values())
    infos = {info.path: info for info in found.files}
    assert found.weights_sha256 == infos[WEIGHTS].sha256
    assert {*infos} == {*files}
    assert cached() == []
    assert one.bytes_read < 120_000


def test_a_long_header_is_read_whole(hub, client):
    data = weights(1, count=3000)
    assert int.from_bytes(data[:8], "little") > models.HEADER_READ
    commit = hub.add("model", NAME, {"config.json": "{}", WEIGHTS: data})
    assert inspect_model(client(hub), NAME, commit).num_parameters == 3000


def test_the_digest_of_shards_knows_names_and_order():
    a, b = FileInfo("a", 1, "", "1" * 64), FileInfo("b", 1, "", "2" * 64)
    assert weights_digest([a]) == a.sha256
    assert weights_digest([a, b]) == weights_digest([b, a]) != weights_digest([a])
    assert weights_digest([a, FileInfo("b", 1, "f" * 40, None)]) is None
    assert weights_digest([]) is None


# --------------------------------------------------------------------------- 27: what can't be had


@pytest.mark.parametrize(
    ("settings", "kind"),
    [({"gated": True}, AccessError), ({"disabled": True}, AccessError), (None, MissingError)],
)
def test_a_model_that_is_not_for_us(hub, client, files, settings, kind):
    commit = hub.add("model", NAME, files, **(settings or {}))
    if settings is None:
        hub.remove("model", NAME)
    one = client(hub, token="hf_bob")
    with pytest.raises(kind):
        fetch_model(one, entry(commit))
    assert len(hub.log) <= 2
    assert client.slept == []


# ---------------------------------------------------------------------------------- 29: offline


@pytest.fixture
def unplugged(hub, monkeypatch):
    """Offline mode from the moment of the call; a socket is an error."""

    def unplug():
        def alarm(*_, **__):
            raise AssertionError("a socket in offline mode")

        monkeypatch.setattr(socket.socket, "connect", alarm)
        monkeypatch.setattr(socket, "getaddrinfo", alarm)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        models._VERIFIED.clear()

    return unplug


@pytest.mark.parametrize("noted", [True, False])
def test_offline_a_whole_snapshot_is_served(hub, client, files, unplugged, noted):
    commit = hub.add("model", NAME, files)
    folder = fetch_model(client(hub), entry(commit))
    if not noted:  # as if another program had filled the cache
        (folder.parents[1] / "hf-select" / f"{commit}.json").unlink()
    unplugged()
    assert fetch_model(client(hub), entry(commit)) == folder
    path = folder / WEIGHTS
    good = path.read_bytes()
    path.resolve().write_bytes(good[:-1] + b"x")
    models._VERIFIED.clear()
    with pytest.raises(ModelError, match=f"{WEIGHTS} of {NAME} is corrupt"):
        fetch_model(client(hub), entry(commit))
    path.resolve().unlink()
    with pytest.raises(SetupError, match="offline mode"):
        fetch_model(client(hub), entry(commit))


def test_offline_what_huggingface_hub_downloaded_is_served(hub, client, unplugged):
    from huggingface_hub import snapshot_download

    commit = hub.add("model", NAME, {**shards(), "pytorch_model.bin": b"x"})
    folder = snapshot_download(NAME, revision=commit, endpoint=hub.endpoint)
    unplugged()
    assert fetch_model(client(hub), entry(commit)) == Path(folder)
    (Path(folder) / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(SetupError, match="not in the cache, or not whole"):
        fetch_model(client(hub), entry(commit))


# ------------------------------------------------------------------------- several at the same time


def test_threads_fetch_once(hub, client, files):
    commit = hub.add("model", NAME, files)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch_model(client(hub), entry(commit))))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(asked(hub)) == len(files) + 1  # and the header


SCRIPT = """
import sys
from hf_select.hub.client import Hub
from hf_select.hub.models import fetch_model
from hf_select.records import ModelEntry
print(fetch_model(Hub(), ModelEntry(sys.argv[1], sys.argv[2], "text-classification")))
"""


def test_processes_fetch_once(hub, hub_env, files):
    commit = hub.add("model", NAME, files)
    hub.fault(path=f"*{WEIGHTS}", delay=0.3, times=2)
    command = [sys.executable, "-c", SCRIPT, NAME, commit]
    running = [
        subprocess.Popen(command, env=hub_env(hub), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    found = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(found) == 1
    assert len(asked(hub)) == len(files) + 1


KILLED = SCRIPT.replace("Hub()", "Hub(sleep=lambda _: os.kill(os.getpid(), signal.SIGKILL))")


def test_a_killed_process_leaves_what_the_next_one_goes_on_with(hub, hub_env):
    big = weights(700)
    commit = hub.add("model", NAME, {"config.json": "{}", WEIGHTS: big})
    hub.fault(path=f"*{WEIGHTS}", cut=1_500_000, after=1)  # the header comes first
    command = [sys.executable, "-c", f"import os, signal\n{KILLED}", NAME, commit]
    assert subprocess.run(command, env=hub_env(hub), timeout=60).returncode == -signal.SIGKILL
    command = [sys.executable, "-c", SCRIPT, NAME, commit]
    done = subprocess.run(command, env=hub_env(hub), timeout=60, capture_output=True, text=True)
    assert (Path(done.stdout.strip()) / WEIGHTS).read_bytes() == big
    rest = hub.requests(path=f"*{WEIGHTS}")[-1]
    assert rest.headers["range"] == f"bytes={len(big) - rest.bytes_out}-"
    assert rest.bytes_out < len(big)
