"""The local Hub, driven by the real client over HTTP."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    constants,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    BadRequestError,
    DisabledRepoError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from hf_select.demo.hub_server import LocalHub

CARD = """---
license: {license}
language: [en]
datasets: [glue]
base_model: lab/base
---
# {name}
"""
CONFIG = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}


def api(hub, token="hf_alice"):
    return HfApi(endpoint=hub.endpoint, token=token)


def weights(*shapes, dtype="F32"):
    """A safetensors file with tensors of these shapes."""
    header, at = {}, 0
    for number, shape in enumerate(shapes):
        size = 4
        for side in shape:
            size *= side
        offsets = [at, at + size]
        header[f"t{number}"] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        at += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(at)


def add_model(hub, name, *, license="mit", rows=2, files=None, **options):
    card = CARD.format(license=license, name=name)
    content = {
        "README.md": card,
        "config.json": json.dumps(CONFIG),
        "model.safetensors": weights([rows, 3]),
    }
    return hub.add("model", name, {**content, **(files or {})}, **options)


def commit(hub, operations, *, token="hf_alice", id="alice/data", message="a change", **options):
    return api(hub, token).create_commit(
        id, operations, commit_message=message, repo_type="dataset", **options
    )


def ask(hub, method, target, *, headers=None, body=None):
    """One request with nothing in between that retries: (status, headers, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", int(hub.endpoint.rsplit(":", 1)[1]))
    connection.request(method, target, body=body, headers=headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, dict(response.headers), content


@pytest.fixture
def data(hub):
    """A dataset repository of alice's."""
    hub.add("dataset", "alice/data", {"a.txt": "one", "sub/b.txt": "two"})
    return hub


# -- listing


def test_list_models_pages(hub):
    hub.store.page_size = 10
    for number in range(35):
        add_model(hub, f"lab/m{number:02d}", downloads=number % 4)
    found = list(api(hub).list_models(sort="downloads", expand=["downloads", "sha"]))
    assert len({model.id for model in found}) == len(found) == 35
    assert [m.downloads for m in found] == sorted((m.downloads for m in found), reverse=True)
    assert all(m.sha == hub.commits("model", m.id)[0].sha for m in found)
    assert len(hub.requests("GET", "/api/models")) == 4


@pytest.mark.parametrize(
    "sort", ["downloads", "likes", "last_modified", "created_at", "trending_score"]
)
def test_every_order_is_total(hub, sort):
    hub.store.page_size = 3
    for number in range(8):
        day = datetime(2026, 1, 1 + number % 3, tzinfo=UTC)
        add_model(hub, f"lab/m{number}", downloads=number % 2, likes=number % 3, modified=day)
    found = list(api(hub).list_models(sort=sort))
    assert len({model.id for model in found}) == len(found) == 8


def test_list_models_limit(hub):
    for number in range(5):
        add_model(hub, f"lab/m{number}")
    assert [m.id for m in api(hub).list_models(limit=3)] == ["lab/m0", "lab/m1", "lab/m2"]


def test_cursor_outlives_the_server_and_new_models(hub):
    hub.store.page_size = 2
    for number in range(5):
        add_model(hub, f"lab/m{number}", downloads=10 * number)
    session = get_session()
    first = session.get(f"{hub.endpoint}/api/models", params={"sort": "downloads"})
    assert [m["id"] for m in first.json()] == ["lab/m4", "lab/m3"]
    add_model(hub, "lab/before", downloads=1000)
    add_model(hub, "lab/behind", downloads=15)
    hub.remove("model", "lab/m3")
    endpoint = hub.endpoint
    hub.__exit__()
    hub.__enter__()
    assert hub.endpoint == endpoint
    second = session.get(first.links["next"]["url"])
    third = session.get(second.links["next"]["url"])
    assert [m["id"] for m in second.json()] == ["lab/m2", "lab/behind"]
    assert [m["id"] for m in third.json()] == ["lab/m1", "lab/m0"]
    assert "next" not in third.links


def test_filters(hub):
    add_model(hub, "lab/small", rows=2)
    add_model(hub, "bob/large", license="apache-2.0", rows=1000)
    hub.add("model", "bob/gated", {"README.md": "---\nlanguage: de\n---\n"}, gated=True)
    hub.add("model", "bob/odd", {"README.md": "---\n: [\n---\n", "model.safetensors": b"\xff" * 99})

    def names(**filters):
        return {model.id for model in api(hub).list_models(**filters)}

    everything = {"lab/small", "bob/large", "bob/gated", "bob/odd"}
    assert names() == everything
    assert names(author="bob") == everything - {"lab/small"}
    assert names(search="LARGE") == {"bob/large"}
    assert names(pipeline_tag="text-classification") == {"lab/small", "bob/large"}
    assert names(gated=True) == {"bob/gated"}
    assert names(gated=False) == everything - {"bob/gated"}
    assert names(filter="license:mit") == {"lab/small"}
    assert names(filter=["en", "transformers"]) == {"lab/small", "bob/large"}
    assert names(filter="base_model:finetune:lab/base") == {"lab/small", "bob/large"}
    assert names(trained_dataset="glue") == {"lab/small", "bob/large"}
    assert names(num_parameters="max:1K") == {"lab/small"}
    assert names(num_parameters="min:1K,max:1M") == {"bob/large"}


def test_what_is_not_served_is_refused(hub):
    with pytest.raises(BadRequestError, match="apps"):
        list(api(hub).list_models(apps="vllm"))
    with pytest.raises(BadRequestError, match="expected one of author, cardData"):
        list(api(hub).list_models(expand=["color"]))
    for name in ("baseModels", "childrenModelCount", "usedStorage"):  # an info tells them
        with pytest.raises(BadRequestError, match=f"Invalid expand {name}"):
            list(api(hub).list_models(expand=[name]))
    for query in ("sort=color", "cursor=!", "cursor=MTIz", "limit=0", "num_parameters=5"):
        add = len(hub.store.repos) or add_model(hub, "lab/one")
        assert add
        assert ask(hub, "GET", f"/api/models?{query}")[0] == 400, query


def test_properties_of_a_model(hub):
    sha = add_model(
        hub,
        "lab/tiny",
        files={
            "config.json": json.dumps({**CONFIG, "auto_map": {"AutoModel": "x.M"}}),
            "README.md": "---\nlicense: mit\nlanguage: en\ndatasets: glue\nlibrary_name: timm\n"
            "base_model: [lab/base]\ntags: [tiny]\npipeline_tag: image-classification\n---\n",
            ".eval_results/x.yaml": "- dataset: {id: glue, task_id: sst2}\n  value: 0.5\n",
        },
        likes=3,
        created="2026-01-01",
        modified=datetime(2026, 2, 1),
    )
    names = "sha config safetensors tags pipeline_tag library_name gated disabled cardData likes"
    names += " createdAt lastModified siblings evalResults private"
    (model,) = api(hub).list_models(expand=names.split())
    assert model.sha == sha
    assert model.config == {**CONFIG, "auto_map": {"AutoModel": "x.M"}}
    assert model.safetensors.parameters == {"F32": 6}
    assert model.safetensors.total == 6
    assert set(model.tags) == {
        *("timm", "safetensors", "bert", "image-classification", "tiny", "custom_code", "en"),
        *("dataset:glue", "base_model:lab/base", "base_model:finetune:lab/base"),
        *("license:mit", "region:us"),
    }
    assert (model.pipeline_tag, model.library_name) == ("image-classification", "timm")
    assert (model.gated, model.disabled, model.private) == (False, False, False)
    assert model.card_data.license == "mit"
    assert model.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert model.last_modified == datetime(2026, 2, 1, tzinfo=UTC)
    assert model.eval_results[0].value == 0.5
    assert "README.md" in {file.rfilename for file in model.siblings}
    assert api(hub).model_info("lab/tiny").sha == sha
    alone = api(hub).model_info("lab/tiny", expand=["baseModels", "usedStorage"])
    assert alone.base_models["relation"] == "finetune"
    assert alone.used_storage > 100


@pytest.mark.parametrize(
    ("files", "tag"),
    [
        ({"adapter_config.json": "{}"}, "base_model:adapter:lab/base"),
        ({"m.gguf": "x"}, "base_model:quantized:lab/base"),
        ({"config.json": '{"quantization_config": {}}'}, "base_model:quantized:lab/base"),
        ({"README.md": "---\nbase_model: [a/b, lab/base]\n---\n"}, "base_model:merge:lab/base"),
        ({"m.gguf": "x"}, "gguf"),
        ({"adapter_config.json": "{}"}, "peft"),
        ({"pytorch_model.bin": "x"}, "pytorch"),
    ],
)
def test_what_a_model_is_shows_in_its_tags(hub, files, tag):
    hub.add("model", "lab/one", {"README.md": "---\nbase_model: lab/base\n---\n", **files})
    assert tag in api(hub).model_info("lab/one").tags


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x05",
        b"\xff" * 99,
        (10**9).to_bytes(8, "little"),
        weights([2])[:20],
        weights([2]).replace(b"shape", b"shade"),
        (10**6).to_bytes(8, "little") + b"[" * 10**6,
        (2).to_bytes(8, "little") + b"[]",
    ],
    ids=["empty", "short", "garbage", "huge", "cut", "no shape", "deep", "no object"],
)
def test_broken_weights_have_no_size(hub, broken):
    hub.add("model", "lab/broken", {"model.safetensors": broken})
    assert api(hub).model_info("lab/broken").safetensors is None


def test_sharded_weights_are_added_up(hub):
    index = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    shards = {"m-1.safetensors": weights([4]), "m-2.safetensors": weights([2, 3])}
    files = {"model.safetensors.index.json": json.dumps(index), **shards}
    hub.add("model", "lab/sharded", files)
    assert api(hub).model_info("lab/sharded").safetensors.total == 10
    assert len(api(hub).get_safetensors_metadata("lab/sharded").weight_map) == 2


def test_list_datasets(hub):
    card = "---\nlicense: mit\nlanguage: en\ntask_categories: [text-classification]\n---\n"
    hub.add("dataset", "lab/texts", {"README.md": card, "x.parquet": "x"}, downloads=5)
    hub.add("dataset", "lab/other", {})
    hub.add("space", "lab/app", {})
    (found,) = api(hub).list_datasets(
        task_categories="text-classification",
        language="en",
        expand=["tags", "cardData", "sha", "gated", "downloads", "siblings", "mainSize"],
    )
    assert found.id == "lab/texts"
    assert {"license:mit", "language:en", "format:parquet"} <= set(found.tags)
    assert found.downloads == 5
    assert {dataset.id for dataset in api(hub).list_datasets()} == {"lab/texts", "lab/other"}
    assert [space.id for space in api(hub).list_spaces()] == ["lab/app"]


def test_a_new_space_has_a_template_by_its_sdk(hub):
    client = api(hub, "hf_alice")
    client.create_repo("lab/static", repo_type="space", space_sdk="static")
    client.create_repo("lab/app", repo_type="space", space_sdk="gradio")
    assert set(hub.files("space", "lab/static")) == {
        ".gitattributes", "README.md", "index.html", "style.css",
    }  # fmt: skip
    assert client.space_info("lab/static").sdk == "static"
    assert set(hub.files("space", "lab/app")) == {".gitattributes", "README.md"}


def test_extra_overrides(hub):
    add_model(hub, "lab/x", extra={"tags": ["odd"], "safetensors": {"parameters": {}, "total": 9}})
    (found,) = api(hub).list_models(filter="odd", expand=["safetensors"])
    assert found.safetensors.total == 9


def test_a_thousand_models_are_listed_quickly(hub):
    for number in range(1000):
        add_model(hub, f"lab/m{number}", downloads=number)
    began = time.perf_counter()
    found = list(api(hub).list_models(expand=["sha", "tags", "safetensors", "config", "cardData"]))
    assert len(found) == 1000
    assert time.perf_counter() - began < 5


# -- info, tree, paths, refs


def test_info_with_files_and_scan(hub):
    scan = {"scansDone": True, "filesWithIssues": [{"path": "bad.pkl", "level": "unsafe"}]}
    add_model(hub, "lab/x", files={"bad.pkl": b"x"}, extra={"securityRepoStatus": scan})
    info = api(hub).model_info("lab/x", files_metadata=True, securityStatus=True)
    assert info.security_repo_status == scan
    by_name = {file.rfilename: file for file in info.siblings}
    assert by_name["model.safetensors"].lfs.size == len(
        hub.files("model", "lab/x")["model.safetensors"]
    )
    assert by_name["config.json"].lfs is None
    safe, unsafe = api(hub).get_paths_info("lab/x", ["model.safetensors", "bad.pkl"], expand=True)
    assert (safe.security.safe, unsafe.security.status) == (True, "unsafe")
    assert safe.last_commit.oid == info.sha


def test_revisions(data):
    first = data.commits("dataset", "alice/data")[0].sha
    second = data.push("dataset", "alice/data", {"a.txt": "new"}, delete=["sub/b.txt"])
    info = api(data).dataset_info
    assert info("alice/data").sha == second
    assert (
        info("alice/data", revision=first).sha
        == info("alice/data", revision=first[:8]).sha
        == first
    )
    with pytest.raises(RevisionNotFoundError):
        info("alice/data", revision="nowhere")
    assert [
        c.commit_id for c in api(data).list_repo_commits("alice/data", repo_type="dataset")
    ] == [
        second,
        first,
    ]
    assert data.files("dataset", "alice/data", first)["sub/b.txt"] == b"two"
    assert "sub/b.txt" not in data.files("dataset", "alice/data")


def test_force_push_leaves_the_old_commit(data):
    old = data.commits("dataset", "alice/data")[0].sha
    new = data.force_push("dataset", "alice/data", {"a.txt": "rewritten"}, commit="f" * 40)
    assert new == "f" * 40
    assert [c.sha for c in data.commits("dataset", "alice/data")] == [new]
    assert api(data).dataset_info("alice/data", revision=old).sha == old
    path = hf_hub_download(
        "alice/data", "a.txt", revision=old, repo_type="dataset", endpoint=data.endpoint
    )
    assert Path(path).read_text() == "one"


def test_tree(data):
    def names(path=None, **options):
        found = api(data).list_repo_tree("alice/data", path, repo_type="dataset", **options)
        return [entry.path for entry in found]

    assert names() == [".gitattributes", "a.txt", "sub"]
    assert names(recursive=True) == [".gitattributes", "a.txt", "sub", "sub/b.txt"]
    assert names("sub") == ["sub/b.txt"]
    for missing in ("nowhere", "su", "a.txt/x"):
        with pytest.raises(EntryNotFoundError):
            names(missing)


def test_tree_says_which_commit_changed_a_file(data):
    first = data.commits("dataset", "alice/data")[0].sha
    second = data.push("dataset", "alice/data", {"a.txt": "new"})
    found = api(data).list_repo_tree("alice/data", repo_type="dataset", recursive=True, expand=True)
    last = {entry.path: entry.last_commit.oid for entry in found}
    assert last == {".gitattributes": first, "a.txt": second, "sub": first, "sub/b.txt": first}


def test_long_trees_and_histories_have_pages(hub):
    hub.add("dataset", "lab/long", {f"d/{n:04d}": "x" for n in range(1500)})
    found = [e.path for e in api(hub).list_repo_tree("lab/long", "d", repo_type="dataset")]
    assert found == [f"d/{n:04d}" for n in range(1500)]
    assert len(hub.requests("GET", "*/tree/*")) == 2
    for number in range(60):
        hub.push("dataset", "lab/long", {"x": str(number)}, message=f"{number}")
    history = api(hub).list_repo_commits("lab/long", repo_type="dataset")
    assert len({commit.commit_id for commit in history}) == len(history) == 61


def test_paths_info_and_existence(data):
    found = api(data).get_paths_info("alice/data", ["a.txt", "sub", "nowhere"], repo_type="dataset")
    assert [entry.path for entry in found] == ["a.txt", "sub"]
    assert api(data).file_exists("alice/data", "a.txt", repo_type="dataset")
    assert not api(data).file_exists("alice/data", "b.txt", repo_type="dataset")
    assert not api(data).repo_exists("alice/other", repo_type="dataset")
    assert not api(data).revision_exists("alice/data", "other", repo_type="dataset")


def test_branches_and_tags(data):
    client, sha = api(data), data.commits("dataset", "alice/data")[0].sha
    client.create_branch("alice/data", branch="next", repo_type="dataset")
    client.create_tag("alice/data", tag="v1", repo_type="dataset")
    commit(data, [CommitOperationAdd("c.txt", b"three")], revision="next")
    refs = client.list_repo_refs("alice/data", repo_type="dataset")
    assert {b.name: b.target_commit == sha for b in refs.branches} == {"main": True, "next": False}
    assert [(t.name, t.target_commit) for t in refs.tags] == [("v1", sha)]
    assert client.dataset_info("alice/data", revision="v1").sha == sha
    with pytest.raises(HfHubHTTPError, match="409"):
        client.create_tag("alice/data", tag="v1", repo_type="dataset")
    client.create_tag("alice/data", tag="v1", repo_type="dataset", exist_ok=True)
    client.delete_tag("alice/data", tag="v1", repo_type="dataset")
    client.delete_branch("alice/data", branch="next", repo_type="dataset")
    refs = client.list_repo_refs("alice/data", repo_type="dataset")
    assert ([b.name for b in refs.branches], refs.tags) == (["main"], [])


# -- repositories


def test_create_and_delete(hub):
    client = api(hub)
    url = client.create_repo("alice/new", repo_type="dataset", private=True)
    assert url == f"{hub.endpoint}/datasets/alice/new"
    with pytest.raises(HfHubHTTPError) as taken:
        client.create_repo("alice/new", repo_type="dataset")
    assert taken.value.response.status_code == 409
    assert taken.value.response.json()["url"] == url
    assert client.create_repo("alice/new", repo_type="dataset", exist_ok=True) == url
    assert (
        client.create_repo("alice/new") == f"{hub.endpoint}/alice/new"
    )  # another type, another name
    client.delete_repo("alice/new", repo_type="dataset")
    assert not client.repo_exists("alice/new", repo_type="dataset")
    assert client.repo_exists("alice/new")
    client.delete_repo("alice/new", repo_type="dataset", missing_ok=True)
    assert client.create_repo("short") == f"{hub.endpoint}/alice/short"
    with pytest.raises(HfHubHTTPError, match="namespace"):
        client.create_repo("bob/new")
    with pytest.raises(HfHubHTTPError, match="write token"):
        api(hub, "hf_reader").create_repo("reader/new")


def test_settings(data):
    api(data).update_repo_settings("alice/data", repo_type="dataset", private=True, gated="auto")
    assert (
        data.repo("dataset", "alice/data").private,
        data.repo("dataset", "alice/data").gated,
    ) == (
        True,
        "auto",
    )


def test_bad_worlds_are_refused(hub):
    hub.add("model", "lab/x", commit="a" * 40)
    with pytest.raises(ValueError, match="already a model"):
        hub.add("model", "lab/x")
    with pytest.raises(ValueError, match="40 hex digits"):
        hub.push("model", "lab/x", {}, commit="a" * 40)
    with pytest.raises(ValueError, match="no file b"):
        hub.push("model", "lab/x", {}, delete=["b"])
    with pytest.raises(ValueError, match="owner/name"):
        hub.add("model", "x")
    with pytest.raises(ValueError, match="one of model"):
        hub.add("models", "lab/y")
    with pytest.raises(KeyError, match="no dataset"):
        hub.files("dataset", "lab/x")
    with pytest.raises(ValueError, match="read or write"):
        hub.user("hf_x", "x", role="admin")
    with pytest.raises(ValueError, match="applied"):
        hub.fault(applied=True)


# -- commits


def test_upload_and_download(data, tmp_path):
    big = bytes(range(256)) * 50_000  # over 10 MB: large, whatever its name
    made = commit(
        data,
        [
            CommitOperationAdd("new/text.txt", b"hello"),
            CommitOperationAdd("new/rows.parquet", b"PAR1" * 10),
            CommitOperationAdd("new/big.txt", big),
            CommitOperationAdd("new/empty.parquet", b""),
            CommitOperationDelete("sub/"),
        ],
    )
    assert made.oid == data.commits("dataset", "alice/data")[0].sha
    assert made.commit_url == f"{data.endpoint}/datasets/alice/data/commit/{made.oid}"
    tree = api(data).list_repo_tree("alice/data", "new", repo_type="dataset")
    assert {entry.path for entry in tree if entry.lfs} == {"new/big.txt", "new/rows.parquet"}
    folder = snapshot_download(
        "alice/data",
        repo_type="dataset",
        endpoint=data.endpoint,
        cache_dir=tmp_path / "cache",
        allow_patterns="new/*",
    )
    assert folder.endswith(made.oid)
    found = {p.name: p.read_bytes() for p in (tmp_path / "cache").glob("*/snapshots/*/new/*")}
    assert found == {
        "text.txt": b"hello",
        "rows.parquet": b"PAR1" * 10,
        "big.txt": big,
        "empty.parquet": b"",
    }
    assert "sub/b.txt" not in data.files("dataset", "alice/data")


def test_known_large_files_are_not_sent_again(data):
    commit(data, [CommitOperationAdd("x.bin", b"weights")])
    commit(data, [CommitOperationAdd("y.bin", b"weights")])
    commit(data, [CommitOperationCopy("x.bin", "z.bin")])
    assert len(data.requests("PUT", "/lfs/*")) == 1
    assert data.files("dataset", "alice/data")["z.bin"] == b"weights"


def test_unchanged_files_make_no_commit(data):
    data.push("dataset", "alice/data", {"x.bin": b"large"})
    before = data.commits("dataset", "alice/data")
    again = [CommitOperationAdd("a.txt", b"one"), CommitOperationAdd("x.bin", b"large")]
    made = commit(data, again)
    assert made.oid == before[0].sha
    assert data.commits("dataset", "alice/data") == before


def test_an_empty_commit_is_a_commit(data):
    """The client never sends one, but a retry of its request would be one."""
    body = b'{"key": "header", "value": {"summary": "nothing"}}\n'
    headers = {"Authorization": "Bearer hf_alice"}
    for _ in range(2):
        status, _, _ = ask(
            data, "POST", "/api/datasets/alice/data/commit/main", headers=headers, body=body
        )
        assert status == 200
    assert [c.title for c in data.commits("dataset", "alice/data")][:2] == ["nothing", "nothing"]


def test_parent_commit_conflict(data):
    parent = data.commits("dataset", "alice/data")[0].sha
    commit(data, [CommitOperationAdd("a.txt", b"mine")], parent_commit=parent)
    with pytest.raises(HfHubHTTPError) as conflict:
        commit(data, [CommitOperationAdd("a.txt", b"yours")], parent_commit=parent)
    assert conflict.value.response.status_code == 412
    assert data.files("dataset", "alice/data")["a.txt"] == b"mine"


def test_one_of_many_wins_a_race(data):
    parent = data.commits("dataset", "alice/data")[0].sha
    outcomes = []

    def publish(number):
        try:
            commit(
                data,
                [CommitOperationAdd(f"{number}.bin", b"%d" % number)],
                parent_commit=parent,
            )
            outcomes.append(200)
        except HfHubHTTPError as error:
            outcomes.append(error.response.status_code)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [200] + [412] * 5
    assert len(data.commits("dataset", "alice/data")) == 2


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ({"key": "file", "value": {"path": "../x", "content": "x"}}, 400),
        ({"key": "file", "value": {"path": "/x", "content": "x"}}, 400),
        ({"key": "file", "value": {"path": ".git/x", "content": "x"}}, 400),
        ({"key": "file", "value": {"path": "x", "content": "!", "encoding": "base64"}}, 400),
        ({"key": "file", "value": {"path": "x", "content": "x" * 10_000_000}}, 400),
        ({"key": "lfsFile", "value": {"path": "x", "oid": "0" * 64}}, 400),
        ({"key": "renamedFile", "value": {"path": "x"}}, 400),
        ({"key": "deletedFile", "value": {"path": "nowhere"}}, 404),
        ({"key": "deletedFolder", "value": {"path": "nowhere"}}, 404),
        ({"value": {}}, 400),
        ([], 400),
    ],
)
def test_bad_commits_change_nothing(data, line, status):
    header = {"key": "header", "value": {"summary": "bad"}}
    body = "\n".join(json.dumps(part) for part in (header, line)).encode()
    headers = {"Authorization": "Bearer hf_alice"}
    target = "/api/datasets/alice/data/commit/main"
    assert ask(data, "POST", target, headers=headers, body=body)[0] == status
    assert ask(data, "POST", target, headers=headers, body=json.dumps(line))[0] == 400
    assert len(data.commits("dataset", "alice/data")) == 1


def test_cards_are_checked(data):
    with pytest.raises(ValueError, match="Invalid metadata"):
        commit(data, [CommitOperationAdd("README.md", b"---\na: [\n---\n")])
    with pytest.warns(UserWarning, match="empty or missing yaml"):
        commit(data, [CommitOperationAdd("README.md", b"# no metadata\n")])


def test_squash(data):
    data.push("dataset", "alice/data", {"a.txt": "new"})
    api(data).super_squash_history("alice/data", repo_type="dataset")
    assert len(data.commits("dataset", "alice/data")) == 1
    assert data.files("dataset", "alice/data")["a.txt"] == b"new"


# -- pull requests


def test_pull_request_from_a_stranger(data):
    made = commit(
        data,
        [CommitOperationAdd("c.bin", b"three")],
        token="hf_bob",
        create_pr=True,
        message="mine",
    )
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    (request,) = data.pull_requests("dataset", "alice/data")
    assert (request.num, request.status, request.author, request.ref) == (
        1,
        "open",
        "bob",
        "refs/pr/1",
    )
    assert "c.bin" not in data.files("dataset", "alice/data")
    assert data.files("dataset", "alice/data", "refs/pr/1")["c.bin"] == b"three"

    commit(data, [CommitOperationAdd("d.txt", b"4")], token="hf_bob", revision="refs/pr/1")
    data.user("hf_carol", "carol")
    with pytest.raises(HfHubHTTPError, match="403"):
        commit(data, [CommitOperationAdd("e.txt", b"5")], token="hf_carol", revision="refs/pr/1")
    with pytest.raises(HfHubHTTPError, match="403"):
        api(data, "hf_bob").merge_pull_request("alice/data", 1, repo_type="dataset")

    refs = api(data).list_repo_refs("alice/data", repo_type="dataset", include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests] == ["refs/pr/1"]
    path = hf_hub_download(
        "alice/data", "d.txt", repo_type="dataset", revision="refs/pr/1", endpoint=data.endpoint
    )
    assert Path(path).read_text() == "4"

    data.push("dataset", "alice/data", {"f.txt": "meanwhile"})
    api(data).merge_pull_request("alice/data", 1, comment="thanks", repo_type="dataset")
    files = data.files("dataset", "alice/data")
    assert (files["c.bin"], files["d.txt"], files["f.txt"]) == (b"three", b"4", b"meanwhile")
    details = api(data).get_discussion_details("alice/data", 1, repo_type="dataset")
    assert details.status == "merged"
    assert details.merge_commit_oid == data.commits("dataset", "alice/data")[0].sha
    assert [event.type for event in details.events] == [
        "commit",
        "commit",
        "comment",
        "status-change",
    ]
    with pytest.raises(HfHubHTTPError, match="403"):
        commit(data, [CommitOperationAdd("e.txt", b"5")], token="hf_bob", revision="refs/pr/1")


def test_a_refused_commit_opens_no_pull_request(data):
    with pytest.raises(EntryNotFoundError):
        commit(data, [CommitOperationDelete("nowhere")], token="hf_bob", create_pr=True)
    assert data.pull_requests("dataset", "alice/data") == []


def test_pull_request_conflict(data):
    commit(data, [CommitOperationAdd("a.txt", b"theirs")], token="hf_bob", create_pr=True)
    data.push("dataset", "alice/data", {"a.txt": "ours"})
    details = api(data).get_discussion_details("alice/data", 1, repo_type="dataset")
    assert details.conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match="409"):
        api(data).merge_pull_request("alice/data", 1, repo_type="dataset")
    assert data.files("dataset", "alice/data")["a.txt"] == b"ours"


def test_pull_request_from_an_older_commit(data):
    old = data.commits("dataset", "alice/data")[0].sha
    data.push("dataset", "alice/data", {"b.txt": "newer"})
    commit(
        data, [CommitOperationAdd("c.txt", b"3")], token="hf_bob", create_pr=True, parent_commit=old
    )
    assert "b.txt" not in data.files("dataset", "alice/data", "refs/pr/1")
    merged = data.merge("dataset", "alice/data", 1)
    assert merged == data.commits("dataset", "alice/data")[0].sha
    assert {"b.txt", "c.txt"} <= data.files("dataset", "alice/data").keys()


def test_discussions(data):
    bob, alice = api(data, "hf_bob"), api(data)
    bob.create_discussion("alice/data", "a question", description="why?", repo_type="dataset")
    bob.create_pull_request("alice/data", "an idea", repo_type="dataset")
    commit(data, [CommitOperationAdd("c.txt", b"3")], create_pr=True)

    def nums(**filters):
        found = alice.get_repo_discussions("alice/data", repo_type="dataset", **filters)
        return [one.num for one in found]

    assert nums() == [3, 2, 1]
    assert nums(author="bob") == [2, 1]
    assert nums(discussion_type="pull_request") == [3, 2]
    assert nums(discussion_type="pull_request", author="bob", discussion_status="open") == [2]
    said = alice.comment_discussion("alice/data", 1, "because", repo_type="dataset")
    assert (said.content, said.author) == ("because", "alice")
    alice.rename_discussion("alice/data", 1, "an answer", repo_type="dataset")
    alice.change_discussion_status("alice/data", 3, "closed", comment="no", repo_type="dataset")
    data.close("dataset", "alice/data", 1)
    assert nums(discussion_status="closed") == [3, 1]
    assert [request.status for request in data.pull_requests("dataset", "alice/data")] == [
        "draft",
        "closed",
    ]
    details = alice.get_discussion_details("alice/data", 1, repo_type="dataset")
    assert details.title == "an answer"
    data.user("hf_carol", "carol")
    with pytest.raises(HfHubHTTPError, match="403"):
        api(data, "hf_carol").change_discussion_status(
            "alice/data", 2, "closed", repo_type="dataset"
        )
    for number in range(55):
        bob.create_discussion("alice/data", f"more {number}", repo_type="dataset")
    assert len(nums()) == 58


# -- rights


def test_whoami(hub):
    me = api(hub).whoami()
    assert (me["name"], me["orgs"][0]["name"]) == ("alice", "lab")
    assert api(hub, "hf_reader").whoami()["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api(hub, "hf_wrong").whoami()


def test_wrong_token(data):
    with pytest.raises(HfHubHTTPError) as wrong:
        api(data, "hf_wrong").dataset_info("alice/data")
    assert wrong.value.response.status_code == 401
    assert not isinstance(wrong.value, RepositoryNotFoundError)
    assert "Invalid credentials" in str(wrong.value)


@pytest.mark.parametrize(("token", "status"), [(False, 401), ("hf_bob", 404)])
def test_private_is_as_good_as_missing(hub, token, status):
    add_model(hub, "lab/secret", private=True)
    for name in ("lab/secret", "lab/missing", "missing"):
        with pytest.raises(RepositoryNotFoundError) as missing:
            api(hub, token).model_info(name)
        assert missing.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(name, "config.json", token=token, endpoint=hub.endpoint)
    assert list(api(hub, token).list_models()) == []
    assert [model.id for model in api(hub).list_models()] == ["lab/secret"]


def test_writing_needs_the_right(data):
    for token in ("hf_bob", "hf_reader"):
        with pytest.raises(HfHubHTTPError) as refused:
            commit(data, [CommitOperationAdd("x.bin", b"x")], token=token)
        assert refused.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError, match="401"):
        commit(data, [CommitOperationAdd("x.bin", b"x")], token=False)
    with pytest.raises(HfHubHTTPError, match="403"):
        commit(data, [CommitOperationAdd("x", b"x")], token="hf_reader", create_pr=True)
    assert len(data.commits("dataset", "alice/data")) == 1


def test_gated(hub):
    add_model(hub, "lab/gated", gated=True)
    for token, status in ((False, 401), ("hf_bob", 403)):
        client = api(hub, token)
        info = client.model_info("lab/gated")
        assert info.gated == "auto"
        assert "config.json" in client.list_repo_files("lab/gated")  # the Hub shows names
        with pytest.raises(GatedRepoError) as gated:
            client.auth_check("lab/gated")
        assert gated.value.response.status_code == status
        with pytest.raises(GatedRepoError):
            hf_hub_download("lab/gated", "config.json", token=token, endpoint=hub.endpoint)
    api(hub).auth_check("lab/gated")
    assert hf_hub_download("lab/gated", "config.json", token="hf_alice", endpoint=hub.endpoint)


def test_a_repository_that_was_renamed_is_found_by_both_names(hub):
    sha = add_model(hub, "lab/tiny")
    for old, new in (("lab/tiny", "lab/small"), ("lab/small", "lab/little")):
        hub.rename("model", old, new)
    for name in ("lab/tiny", "lab/small", "lab/little"):
        assert api(hub).model_info(name, expand=["sha"]).id == "lab/little"
        assert api(hub).model_info(name, expand=["sha"]).likes is None  # the query goes along
        (found,) = api(hub).get_paths_info(name, ["config.json"])
        path = hf_hub_download(name, "config.json", endpoint=hub.endpoint)
        assert Path(path).resolve().name == found.blob_id
        api(hub).upload_file(path_or_fileobj=b"1", path_in_repo=name[4:], repo_id=name)
    assert {"tiny", "small", "little"} < set(hub.files("model", "lab/little"))
    assert sha in {made.sha for made in hub.commits("model", "lab/little")}
    hub.add("model", "lab/tiny", {})  # the name is free again
    assert api(hub).model_info("lab/tiny").id == "lab/tiny"


def test_disabled(hub):
    add_model(hub, "lab/off", disabled=True)
    (listed,) = api(hub).list_models(expand=["disabled"])
    assert listed.disabled
    with pytest.raises(DisabledRepoError):
        api(hub).model_info("lab/off")
    with pytest.raises(LocalEntryNotFoundError) as missing:
        hf_hub_download("lab/off", "config.json", token="hf_alice", endpoint=hub.endpoint)
    assert isinstance(missing.value.__cause__, DisabledRepoError)


def test_removed(data):
    data.remove("dataset", "alice/data")
    with pytest.raises(RepositoryNotFoundError):
        api(data).dataset_info("alice/data")
    with pytest.raises(RepositoryNotFoundError):
        commit(data, [CommitOperationAdd("x", b"x")])


# -- bytes


def test_ranges(hub):
    content = bytes(range(256)) * 4
    hub.add("model", "lab/x", {"x.bin": content})
    target = "/lab/x/resolve/main/x.bin"

    def part(text):
        status, headers, body = ask(hub, "GET", target, headers={"Range": text})
        return status, headers.get("Content-Range"), body

    assert part("bytes=10-19") == (206, "bytes 10-19/1024", content[10:20])
    assert part("bytes=1020-") == (206, "bytes 1020-1023/1024", content[1020:])
    assert part("bytes=-3") == (206, "bytes 1021-1023/1024", content[-3:])
    assert part("bytes=1000-9999") == (206, "bytes 1000-1023/1024", content[1000:])
    assert part("bytes=1024-") == (416, "bytes */1024", b"")
    assert part("bytes=0-1,5-6") == (200, None, content)
    status, headers, body = ask(hub, "HEAD", target)
    blob = hub.commits("model", "lab/x")[0].files["x.bin"]
    assert (status, body, headers["Content-Length"]) == (200, b"", "1024")
    assert headers["X-Repo-Commit"] == hub.commits("model", "lab/x")[0].sha
    assert headers["X-Linked-ETag"] == headers["ETag"] == f'"{blob.sha256}"'
    assert headers["X-Linked-Size"] == "1024"
    assert [r.bytes_out for r in hub.log] == [10, 4, 3, 24, 0, 1024, 0]


def test_missing_file(hub):
    add_model(hub, "lab/x")
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("lab/x", "nowhere.json", endpoint=hub.endpoint)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("lab/x", "config.json", revision="nowhere", endpoint=hub.endpoint)


def test_file_system(data):
    files = HfFileSystem(endpoint=data.endpoint, token="hf_alice", skip_instance_cache=True)
    assert files.ls("datasets/alice/data/sub", detail=False) == ["datasets/alice/data/sub/b.txt"]
    assert files.cat_file("datasets/alice/data/a.txt", start=1, end=3) == b"ne"


def test_no_such_page(hub):
    for method, target in (
        ("GET", "/"),
        ("GET", "/api/datasets/a/b/parquet"),
        ("POST", "/api/models"),
    ):
        assert ask(hub, method, target)[0] == 404


# -- faults and the log


def test_rate_limit(data):
    limit = {"Retry-After": "7", "RateLimit": '"api";r=0;t=7'}
    fault = data.fault("GET", "/api/datasets/*", status=429, headers=limit, times=2, message="slow")
    for _ in range(2):
        with pytest.raises(HfHubHTTPError) as error:
            api(data).dataset_info("alice/data")
        assert error.value.response.status_code == 429
        assert error.value.response.headers["Retry-After"] == "7"
        assert error.value.response.headers["RateLimit"] == '"api";r=0;t=7'
    assert api(data).dataset_info("alice/data").id == "alice/data"
    assert fault.struck == 2
    assert [request.status for request in data.log] == [429, 429, 200]


def test_a_fault_does_nothing_unless_applied(data):
    data.fault("POST", "*/commit/main", status=503)
    with pytest.raises(HfHubHTTPError, match="503"):
        commit(data, [CommitOperationAdd("x.txt", b"x")])
    assert len(data.commits("dataset", "alice/data")) == 1
    data.fault("POST", "*/commit/main", status=500, applied=True)
    with pytest.raises(HfHubHTTPError, match="500"):
        commit(data, [CommitOperationAdd("x.txt", b"x")])
    assert len(data.commits("dataset", "alice/data")) == 2
    data.fault("POST", "*/commit/*create_pr*", status=500, applied=True)
    with pytest.raises(HfHubHTTPError, match="500"):
        commit(data, [CommitOperationAdd("y.txt", b"x")], create_pr=True, token="hf_bob")
    assert len(data.pull_requests("dataset", "alice/data")) == 1


def test_after_and_globs(data):
    data.fault(path="*/revision/refs/pr/*", status=500, after=1)
    data.fault("HEAD", status=500, times=100)
    data.push("dataset", "alice/data", {"a.txt": "x"})
    commit(data, [CommitOperationAdd("c.txt", b"3")], create_pr=True)
    info = api(data).dataset_info
    assert info("alice/data", revision="refs/pr/1").sha
    with pytest.raises(HfHubHTTPError, match="500"):
        info("alice/data", revision="refs/pr/1")
    assert info("alice/data", revision="refs/pr/1").sha
    assert ask(data, "HEAD", "/datasets/alice/data/resolve/main/a.txt")[0] == 500
    data.faults.clear()
    assert ask(data, "HEAD", "/datasets/alice/data/resolve/main/a.txt")[0] == 200


def test_cut(hub):
    content = bytes(range(256)) * 4000
    hub.add("model", "lab/x", {"x.bin": content})
    target = "/lab/x/resolve/main/x.bin"
    hub.fault("GET", target, cut=1000)
    connection = http.client.HTTPConnection("127.0.0.1", int(hub.endpoint.rsplit(":", 1)[1]))
    connection.request("GET", target)
    response = connection.getresponse()
    assert response.status == 200
    assert int(response.headers["Content-Length"]) == len(content)
    assert response.read(1000) == content[:1000]
    with pytest.raises(ConnectionResetError):
        response.read(1)
    assert hub.log[-1].bytes_out == 1000
    assert ask(hub, "GET", target)[2] == content


def test_a_cut_download_is_lost_on_the_client(hub):
    """It goes on after an orderly end of the connection, not after a reset."""
    content = bytes(range(256)) * 4000
    hub.add("model", "lab/x", {"x.bin": content})
    hub.fault("GET", "*/x.bin", cut=300_000)
    with pytest.raises(Exception, match="reset"):
        hf_hub_download("lab/x", "x.bin", endpoint=hub.endpoint)
    path = hf_hub_download("lab/x", "x.bin", endpoint=hub.endpoint)
    assert Path(path).read_bytes() == content
    assert [r.bytes_out for r in hub.requests("GET", "*/x.bin")] == [300_000, len(content)]


def test_a_lost_answer_to_a_commit(data):
    """The connection goes down before the client hears that its commit was made."""
    data.fault("POST", "*/commit/main", applied=True, cut=0)
    with pytest.raises(Exception) as lost:  # noqa: PT011 - of httpx or httpx2
        commit(data, [CommitOperationAdd("x.txt", b"x")])
    assert not isinstance(lost.value, HfHubHTTPError)
    assert len(data.commits("dataset", "alice/data")) == 2


def test_delay_holds_nobody_else_up(data):
    fault = data.fault("GET", "*/tree/*", delay=1)
    slow = threading.Thread(target=ask, args=(data, "GET", "/api/datasets/alice/data/tree/main"))
    slow.start()
    while not fault.struck:
        time.sleep(0.005)
    ask(data, "GET", "/api/datasets/alice/data")
    slow.join()
    assert [request.path.endswith("main") for request in data.log] == [False, True]


def test_log(data):
    api(data).dataset_info("alice/data", expand=["sha"])
    api(data, False).dataset_info("alice/data")
    with pytest.raises(HfHubHTTPError):
        api(data, "hf_wrong").dataset_info("alice/data")
    first, second, third = data.log
    assert (first.method, first.path, first.query) == (
        "GET",
        "/api/datasets/alice/data",
        "expand=sha",
    )
    assert [r.user for r in data.log] == ["alice", None, None]
    assert [r.status for r in data.log] == [200, 200, 401]
    assert first.bytes_out < second.bytes_out
    assert first.ms >= 0
    assert "user-agent" in first.headers
    assert not any(token in str(data.log) for token in ("hf_alice", "hf_wrong"))
    assert data.requests(path="*expand=sha*") == [first]
    assert data.requests("GET", "/api/datasets/alice/data") == [first, second, third]
    assert data.requests("POST") == []


def test_requests_are_served_side_by_side(data):
    failures = []

    def work(number):
        try:
            for step in range(10):
                commit(data, [CommitOperationAdd(f"{number}/{step}.txt", b"%d" % step)])
                list(api(data).list_repo_tree("alice/data", repo_type="dataset", recursive=True))
                list(api(data).list_datasets(expand=["sha", "siblings"]))
        except HfHubHTTPError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(data.commits("dataset", "alice/data")) == 41
    assert len(data.files("dataset", "alice/data")) == 3 + 40


def test_a_stopped_hub_answers_nobody():
    with LocalHub() as hub:
        connection = http.client.HTTPConnection("127.0.0.1", int(hub.endpoint.rsplit(":", 1)[1]))
        connection.request("GET", "/api/models")
        connection.getresponse().read()
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the moment has it
        ask_again(connection)


def ask_again(connection):
    connection.request("GET", "/api/models")
    return connection.getresponse()


# -- other libraries, in their own process


def run(code, env, *args):
    done = subprocess.run(
        [sys.executable, "-c", code, *args], env=env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_load_dataset(hub, hub_env, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    def parquet(values):
        pq.write_table(pa.table({"x": values}), tmp_path / "x.parquet")
        return (tmp_path / "x.parquet").read_bytes()

    card = """---
configs:
- config_name: runs
  data_files:
  - {split: train, path: "data/runs-*.parquet"}
  - {split: test, path: data/test.parquet}
- config_name: matrix
  data_files: data/matrix.parquet
---
"""
    files = {
        "README.md": card,
        "data/runs-0.parquet": parquet([1, 2]),
        "data/runs-1.parquet": parquet([3]),
        "data/test.parquet": parquet([4]),
        "data/matrix.parquet": parquet([5]),
    }
    sha = hub.add("dataset", "lab/results", files, private=True)
    hub.push("dataset", "lab/results", {"data/matrix.parquet": parquet([6])})
    code = """
import sys
from datasets import get_dataset_config_names, load_dataset
name, revision = sys.argv[1:]
print(*get_dataset_config_names(name))
print(*load_dataset(name, "runs", split="train")["x"], *load_dataset(name, "runs")["test"]["x"])
print(*load_dataset(name, "matrix")["train"]["x"])
print(*load_dataset(name, "matrix", revision=revision)["train"]["x"])
"""
    found = run(code, hub_env(hub), "lab/results", sha)
    assert sorted(found[:2]) == ["matrix", "runs"]
    assert found[2:] == ["1", "2", "3", "4", "6", "5"]
    refused = subprocess.run(
        [sys.executable, "-c", code, "lab/results", sha],
        env=hub_env(hub, home=tmp_path / "other", token="hf_bob"),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert refused.returncode != 0
    assert "DatasetNotFoundError" in refused.stderr


def test_from_pretrained(hub, hub_env, tmp_path):
    from tiny import tiny_text_model

    folder = tiny_text_model(tmp_path / "model")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    sha = hub.add("model", "lab/tiny", files)
    code = """
import sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer
name, revision = sys.argv[1:]
tokens = AutoTokenizer.from_pretrained(name, revision=revision)("good film", return_tensors="pt")
model = AutoModelForSequenceClassification.from_pretrained(name, revision=revision)
print(*model(**tokens).logits.shape)
"""
    assert run(code, hub_env(hub), "lab/tiny", sha) == ["1", "2"]
    cached = (tmp_path / "hf-home").glob("hub/models--lab--tiny/snapshots/*/model.safetensors")
    assert [path.parent.name for path in cached] == [sha]


# -- the fixtures


def test_this_process_uses_nobodys_cache_or_token(hub, tmp_path):
    add_model(hub, "lab/x")
    path = hf_hub_download("lab/x", "config.json", endpoint=hub.endpoint)
    assert path.startswith(str(tmp_path))
    assert HfApi(endpoint=hub.endpoint).model_info("lab/x").id == "lab/x"
    assert {request.user for request in hub.log} == {None}
    assert not constants.HF_HUB_OFFLINE


def test_the_packages_client(hub, client):
    sha = add_model(hub, "lab/x")
    assert client(hub).user() == "alice"
    hub.fault("GET", "/api/models/*", status=429, headers={"Retry-After": "7"})
    assert client(hub, token="hf_bob").head_commit("lab/x", repo_type="model") == sha
    assert len(client.slept) == 1
    assert client.slept[0] >= 7
    assert [request.user for request in hub.log] == ["alice", "bob", "bob"]


def test_environments_are_machines(hub, hub_env, tmp_path):
    first, second = hub_env(hub), hub_env(hub, home=tmp_path / "b", token=None)
    assert first["HF_HOME"] != second["HF_HOME"]
    assert first["HF_TOKEN"] == "hf_alice"
    assert "HF_TOKEN" not in second
    assert first["HF_ENDPOINT"] == hub.endpoint
