"""The client against a local Hub over real HTTP; faults are numbered as in FAULTS.md."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import socket
import threading
import time
import traceback
from email.utils import formatdate

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import close_session, constants, get_session, scan_cache_dir

from hf_select.demo.hub_server import LocalHub
from hf_select.demo.hub_server.handler import Handler
from hf_select.errors import AccessError, ConflictError, HubError, MissingError, SetupError
from hf_select.hub import client as module
from hf_select.hub import wording
from hf_select.hub.cache import DamagedError
from hf_select.hub.client import FileInfo, Hub, checked_id, checked_path

DATA = os.urandom(3_000_000)
INFO = FileInfo("model.safetensors", len(DATA), "", hashlib.sha256(DATA).hexdigest())
MODEL = {"config.json": '{"model_type": "bert"}', "README.md": "# Tiny", INFO.path: DATA}


@pytest.fixture
def commit(hub):
    return hub.add("model", "lab/tiny", MODEL)


def download(client, commit, info=INFO):
    return client.download("lab/tiny", info.path, repo_type="model", revision=commit, info=info)


def ranges(hub):
    """What was asked of the weights, request by request."""
    return [r.headers.get("range") for r in hub.requests(path="*/resolve/*model.safetensors")]


# ------------------------------------------------------------------------- 22: limits, bad days


def in_a_minute():
    return formatdate(time.time() + 61, usegmt=True)


@pytest.mark.parametrize(
    ("status", "headers", "least"),
    [
        (429, {"Retry-After": "7"}, 7),
        (429, {"RateLimit": '"api";r=0;t=9'}, 9),
        (429, {"RateLimit": '"api";r=0;t=9', "Retry-After": "7"}, 9),
        (429, {"RateLimit": '"api";r=0;t=5', "Retry-After": "7"}, 7),
        (429, {"RateLimit": '"api";r=400;t=200', "Retry-After": "3"}, 3),
        (503, {"Retry-After": "11"}, 11),
        (429, in_a_minute, 60),
    ],
)
def test_it_waits_as_long_as_it_is_asked_to_and_a_little_more(
    hub, client, commit, status, headers, least
):
    headers = {"Retry-After": headers()} if callable(headers) else headers
    hub.fault(status=status, headers=headers)
    assert client(hub).head_commit("lab/tiny", repo_type="model") == commit
    (waited,) = client.slept
    assert least <= waited <= least + max(2, 0.15 * least)
    assert [r.status for r in hub.log] == [status, 200]


def test_those_who_were_refused_together_do_not_come_back_together(hub, client, commit):
    for one in [client(hub) for _ in range(20)]:
        hub.fault(status=429, headers={"Retry-After": "10"})
        one.head_commit("lab/tiny", repo_type="model")
    assert len({round(waited, 3) for waited in client.slept}) > 15


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(hub, client, commit):
    hub.fault(times=math.inf, status=429, headers={"Retry-After": "3600"})
    with pytest.raises(HubError, match="asks to wait 3600 s"):
        client(hub).head_commit("lab/tiny", repo_type="model")
    assert (client.slept, len(hub.log)) == ([], 1)


@pytest.mark.parametrize("odd", [{}, {"Retry-After": "soon"}, {"Retry-After": "²"}])
def test_a_burst_of_errors_is_ridden_out_with_longer_and_longer_waits(hub, client, commit, odd):
    hub.fault(times=2, status=429, headers=odd)
    hub.fault(times=3, status=503, headers=odd)
    assert client(hub).head_commit("lab/tiny", repo_type="model") == commit
    assert len(client.slept) == 5
    for attempt, waited in enumerate(client.slept):
        assert 0.5 * 2**attempt <= waited <= 2**attempt


def test_it_gives_up_in_the_end(hub, client, commit):
    hub.fault(times=math.inf, status=503)
    with pytest.raises(HubError, match="answered 503"):
        client(hub, attempts=4).head_commit("lab/tiny", repo_type="model")
    assert (len(client.slept), len(hub.log)) == (3, 4)


def test_what_may_have_been_applied_is_not_repeated(hub, client, commit):
    hub.fault(times=math.inf, status=500)
    one = client(hub)
    with pytest.raises(HubError):
        one.call(one.api.model_info, "lab/tiny", retry_server_errors=False)
    assert len(hub.log) == 1
    hub.faults.clear()
    hub.fault(status=429)
    one.call(one.api.model_info, "lab/tiny", retry_server_errors=False)
    assert len(hub.log) == 3


def test_a_pause_grows_and_is_bounded(hub, client):
    one = client(hub, longest_wait=30.0)
    for attempt in (1, 2, 50):
        one.pause(attempt)
    assert client.slept[0] <= 1 < client.slept[1] * 2 <= 4
    assert 15 <= client.slept[2] <= 30


# ------------------------------------------------------------------- 23: connections that break


def test_an_answer_that_breaks_off_is_asked_for_again(hub, client, commit):
    hub.fault(path="/api/models/lab/tiny*", cut=20)
    assert client(hub).head_commit("lab/tiny", repo_type="model") == commit
    assert len(hub.log) == 2


@pytest.mark.parametrize("ask", ["head_commit", "whoami", "model_info", "download"])
def test_a_silent_hub_is_not_waited_for(hub, client, commit, ask):
    close_session()  # functions of HfApi without a time-out have that of the session
    hub.fault(delay=30)
    one = client(hub, timeout=0.3)
    began = time.monotonic()
    if ask == "head_commit":
        assert one.head_commit("lab/tiny", repo_type="model") == commit
    elif ask == "whoami":
        assert one.call(one.api.whoami)["name"] == "alice"
    elif ask == "model_info":
        assert one.call(one.api.model_info, "lab/tiny").sha == commit
    else:
        assert download(one, commit).read_bytes() == DATA
    assert time.monotonic() - began < 10
    assert len(client.slept) == 1
    close_session()


def test_a_download_goes_on_where_the_connection_broke(hub, client, commit):
    hub.fault(path="*model.safetensors", cut=2_000_000)
    hub.fault(path="*model.safetensors", status=503)
    path = download(client(hub), commit)
    assert path.read_bytes() == DATA
    first, second, third = ranges(hub)
    assert first is None
    assert second == third != "bytes=0-"
    assert second.startswith("bytes=")
    # and what huggingface_hub knows of its cache is what there is
    (cached,) = scan_cache_dir(constants.HF_HUB_CACHE).repos
    assert (cached.repo_id, cached.size_on_disk) == ("lab/tiny", len(DATA))


def test_a_download_goes_on_after_a_kill(hub, client, commit):
    blob = download(client(hub), commit).resolve()
    blob.unlink()
    blob.with_name(f"{blob.name}.incomplete").write_bytes(DATA[:1_000_000])
    one = client(hub)
    assert download(one, commit).read_bytes() == DATA
    assert ranges(hub)[1:] == ["bytes=1000000-"]
    assert one.bytes_read == 2_000_000
    assert [path.name for path in blob.parent.iterdir()] == [blob.name]


def test_a_beginning_that_is_wrong_costs_one_more_download(hub, client, commit):
    blob = download(client(hub), commit).resolve()
    blob.unlink()
    blob.with_name(f"{blob.name}.incomplete").write_bytes(bytes(1_000_000))
    assert download(client(hub), commit).read_bytes() == DATA
    assert ranges(hub)[1:] == ["bytes=1000000-", None]


def test_attempts_are_counted_anew_while_a_download_gets_on(hub, client):
    one, state = client(hub, attempts=3), {"at": 0, "calls": 0}

    def crawl(step):
        def attempt():
            state["calls"] += 1
            state["at"] += step
            if state["calls"] < 20:
                raise ConnectionResetError("reset")

        return attempt

    one._call(crawl(1), what="a file", progress=lambda: state["at"])
    assert state["calls"] == 20
    state.update(calls=0)
    with pytest.raises(HubError, match="a file: the Hub can't be reached"):
        one._call(crawl(0), what="a file", progress=lambda: state["at"])
    assert state["calls"] == 3


def test_a_range_that_breaks_off_is_completed(hub, client, commit):
    hub.fault(path="*model.safetensors", cut=500_000)
    remote = client(hub).open("lab/tiny", INFO.path, repo_type="model", revision=commit)
    remote.seek(1_000_000)
    assert remote.read(1_500_000) == DATA[1_000_000:2_500_000]
    first, second = ranges(hub)
    assert first == "bytes=1000000-2499999"
    assert second.startswith("bytes=1")
    assert second.endswith("-2499999")
    assert second != first


def test_a_server_that_knows_no_ranges(hub, client, commit, monkeypatch):
    monkeypatch.setattr(Handler, "_ranged", lambda self, reply: reply)
    remote = client(hub).open("lab/tiny", INFO.path, repo_type="model", revision=commit)
    remote.seek(2_000_000)
    assert remote.read(5) == DATA[2_000_000:2_000_005]
    hub.fault(path="*model.safetensors", cut=1_000_000)
    assert download(client(hub), commit).read_bytes() == DATA


def test_other_bytes_than_were_asked_for_are_refused(hub, client, commit, monkeypatch):
    ranged = Handler._ranged

    def shifted(self, reply):
        found = ranged(self, reply)
        if found.status == 206:
            found.headers["Content-Range"] = f"bytes 0-4/{len(DATA)}"
        return found

    monkeypatch.setattr(Handler, "_ranged", shifted)
    remote = client(hub).open("lab/tiny", INFO.path, repo_type="model", revision=commit)
    remote.seek(2_000_000)
    with pytest.raises(HubError, match="others came"):
        remote.read(5)


def test_a_disk_that_is_full_is_not_the_hubs_fault(hub, client, commit, monkeypatch):
    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        module.Hub, "_count", lambda self, **_: None if "requests" in _ else full(self)
    )
    with pytest.raises(OSError, match="No space left"):
        download(client(hub), commit)
    assert len(hub.log) == 1
    assert not list((hub_cache() / "blobs").iterdir())


def hub_cache():
    from pathlib import Path

    return Path(constants.HF_HUB_CACHE) / "models--lab--tiny"


# -------------------------------------------------------------------- 14, 15: what is corrupt


def spoil(hub, data, path=INFO.path):
    """From now on the Hub sends something else than it lists."""
    blob = hub.repo("model", "lab/tiny").head.files[path]
    assert blob.sha256
    assert blob.oid
    object.__setattr__(blob, "data", data)


@pytest.mark.parametrize("kind", ["truncated", "flipped", "longer"])
@pytest.mark.parametrize("path", [INFO.path, "config.json"])
def test_what_is_not_what_the_hub_lists_never_gets_into_the_cache(hub, client, commit, kind, path):
    one = client(hub)
    info = one.info("lab/tiny", path, repo_type="model", revision=commit)
    good = hub.files("model", "lab/tiny")[path]
    flipped = bytes([good[0] ^ 1]) + good[1:]
    spoil(hub, {"truncated": good[:-5], "flipped": flipped, "longer": good + b"x"}[kind], path)
    if kind == "longer":  # what is too much isn't taken
        assert download(one, commit, info).read_bytes() == good
        return
    how = f"{info.size - 5} bytes, but it should have" if kind == "truncated" else "its .* is"
    with pytest.raises(DamagedError, match=f"{path} of lab/tiny is corrupt: {how}"):
        download(one, commit, info)
    assert len(hub.requests(path="*/resolve/*")) == 2  # one re-download
    assert [f for f in hub_cache().rglob("*") if f.is_file() or f.is_symlink()] == []
    assert client.slept == []


# ------------------------------------------------------------------------ 27: the Hub says no


def gated(hub):
    hub.add("model", "lab/shut", MODEL, gated=True)


def disabled(hub):
    hub.add("model", "lab/shut", MODEL, disabled=True)


def private(hub):
    hub.add("model", "lab/shut", MODEL, private=True)


def deleted(hub):
    hub.add("model", "lab/shut", MODEL)
    hub.remove("model", "lab/shut")


def forbidden(hub):
    hub.add("model", "lab/shut", MODEL)
    hub.fault(times=math.inf, status=403, message="Forbidden")


def unauthorized(hub):
    hub.add("model", "lab/shut", MODEL)
    hub.fault(times=math.inf, status=401, message="Invalid credentials in Authorization header")


def expired(hub):
    hub.add("model", "lab/shut", MODEL)
    hub.fault(times=math.inf, status=401, message='User Access Token "ci" is expired')


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (gated, AccessError, "is gated"),
        (disabled, AccessError, "was disabled"),
        (private, MissingError, "no such repository"),
        (deleted, MissingError, "no such repository"),
        (forbidden, AccessError, "has not the right"),
        (unauthorized, SetupError, "doesn't know this token"),
        (expired, SetupError, "doesn't know this token any more"),
    ],
)
@pytest.mark.parametrize("token", ["hf_bob", False])
def test_a_no_is_taken_for_an_answer(hub, client, make, kind, words, token):
    make(hub)
    one = client(hub, token=token)
    with pytest.raises(kind, match=words) as caught:
        one.download(
            "lab/shut", INFO.path, repo_type="model", revision="a" * 40, info=INFO
        ) if make is not gated else one.read(
            "lab/shut", INFO.path, repo_type="model", revision="main"
        )
    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert (len(hub.log), client.slept) == (1, [])


def test_what_is_missing_is_named(hub, client, commit):
    one = client(hub)
    for missing, ask in {
        "repository": lambda: one.head_commit("lab/none", repo_type="model"),
        "revision": lambda: one.head_commit("lab/tiny", repo_type="model", revision="b" * 40),
        "file": lambda: one.read("lab/tiny", "none.txt", repo_type="model", revision=commit),
    }.items():
        with pytest.raises(MissingError) as caught:
            ask()
        assert caught.value.missing == missing
    with pytest.raises(MissingError, match=r"none.txt of lab/tiny"):
        one.info("lab/tiny", "none.txt", repo_type="model", revision=commit)
    assert one.tree("lab/tiny", repo_type="model", revision=commit, path="nowhere") == []


@pytest.mark.parametrize("status", [400, 403, 418, 500])
def test_an_answer_is_told_in_a_line_without_numbers_that_say_nothing(hub, client, commit, status):
    hub.fault(status=status, message="the moon is full", times=math.inf)
    with pytest.raises((AccessError, HubError), match="the moon is full") as caught:
        client(hub, attempts=1).head_commit("lab/tiny", repo_type="model")
    assert "Request ID" not in caught.value.message
    silent = RuntimeError(f" (Request ID: local-3)\n\n{status} No (Amz CF ID: 5)\nmore")
    assert wording._line(silent) == f"{status} No"
    assert wording._line(RuntimeError(" \n")) == "RuntimeError"


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_is_one(hub, client, commit, status):
    hub.fault(status=status)
    with pytest.raises(ConflictError):
        client(hub).head_commit("lab/tiny", repo_type="model")
    assert len(hub.log) == 1


def test_the_user(hub, client):
    assert client(hub).user() == "alice"
    with pytest.raises(SetupError, match="doesn't know this token"):
        client(hub, token="hf_nobody").user()
    assert len(hub.log) == 2
    with pytest.raises(SetupError, match="needs a token"):
        client(hub, token=False).user()
    with pytest.raises(SetupError, match="needs a token"):
        client(hub, token=None).user()
    assert len(hub.log) == 2


# ---------------------------------------------------------------------------- 29: offline mode


def test_offline_makes_no_socket(hub, client, commit, monkeypatch):
    one = client(hub)
    path = download(one, commit)
    asked = len(hub.log)

    def alarm(*_, **__):
        raise AssertionError("a socket in offline mode")

    monkeypatch.setattr(socket.socket, "connect", alarm)
    monkeypatch.setattr(socket, "getaddrinfo", alarm)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    # huggingface_hub's own guard is a hook, which a client of the user's own may lack
    monkeypatch.setattr(get_session(), "event_hooks", {})
    what = {"repo_type": "model", "revision": commit}
    for ask in (
        lambda: one.user(),
        lambda: one.head_commit("lab/tiny", repo_type="model"),
        lambda: one.tree("lab/tiny", **what),
        lambda: one.info("lab/tiny", INFO.path, **what),
        lambda: one.read("lab/tiny", "config.json", **what),
        lambda: one.open("lab/tiny", INFO.path, **what),
        lambda: one.open("lab/tiny", INFO.path, size=5, **what).read(),
        lambda: one.download("lab/tiny", "config.json", **what),
        lambda: one.get_page("/api/models"),
        lambda: one.call(one.api.model_info, "lab/tiny"),
    ):
        with pytest.raises(SetupError, match="offline mode is on"):
            ask()
    assert download(one, commit) == path
    assert (len(hub.log), client.slept) == (asked, [])


# ------------------------------------------------------------------------- 30: what stays secret

SECRET = "hf_abcdefghijklmnop1234"


def all_of(error):
    """All that a traceback of it would show."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("token", [SECRET, "an-odd-token-0815"])
@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_a_token_that_is_echoed_goes_no_further(hub, client, commit, status, token, caplog):
    hub.user(token, "eve")
    hub.fault(
        times=math.inf,
        status=status,
        message=f"Bearer {token} is not what https://eve:{token}@hub wants",
        headers={"Retry-After": "900"},
    )
    with caplog.at_level(logging.WARNING), pytest.raises((AccessError, HubError)) as caught:
        client(hub, token=token).head_commit("lab/tiny", repo_type="model")
    assert token not in all_of(caught.value) + str(caught.value.to_dict()) + caplog.text
    assert "removed" in all_of(caught.value)


@pytest.mark.parametrize("token", ["hf_abcdefgh ijklmnop", "hf_abcdefgh\u20acijkl", "hf_a\x00b"])
def test_a_token_with_a_slip_of_the_pen(hub, client, monkeypatch, token):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    for given in (token, None):
        with pytest.raises(SetupError, match="a character that no token has") as caught:
            client(hub, token=given)
        assert not any(part in all_of(caught.value) for part in ("hf_a", "ijkl"))


def test_an_address_with_a_password_is_not_used(hub, client):
    password = "0815" * 3
    with pytest.raises(SetupError, match="holds a user or password") as caught:
        Hub(endpoint=hub.endpoint.replace("//", f"//eve:{password}@"))
    assert password not in all_of(caught.value)


def test_the_token_stays_on_the_hub(hub, client, commit):
    one = client(hub)
    with LocalHub() as other:
        other.add("model", "lab/tiny", MODEL)
        with pytest.raises(HubError, match="the token stays here"):
            one.get_page(f"{other.endpoint}/api/models")
        assert other.log == []
        # a redirect is followed, without it
        hub.fault(
            path="*model.safetensors",
            status=302,
            headers={"Location": f"{other.endpoint}/lab/tiny/resolve/main/model.safetensors"},
        )
        assert download(one, commit).read_bytes() == DATA
        assert [r.user for r in other.log] == [None]


# ------------------------------------------------------------------------------------- threads


def test_threads_share_a_client(hub, client, commit):
    hub.fault(times=10, status=429, headers={"Retry-After": "1"}, after=5)
    hub.fault(path="/api/*", times=10, cut=30, after=20)
    one, errors = client(hub), []

    def work():
        try:
            for _ in range(10):
                assert one.head_commit("lab/tiny", repo_type="model") == commit
            assert download(one, commit).read_bytes() == DATA
        except Exception as error:  # noqa: BLE001 - told by the test below
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert one.requests == len(hub.log)
    whole = [r for r in hub.requests(path="*model.safetensors") if r.status == 200]
    assert len(whole) == 1


# ------------------------------------------------------------------------------------- reading


def test_the_tree_is_read_to_its_end(hub, client):
    files = {f"folder/{i:04d}.txt": str(i) for i in range(1100)}
    commit = hub.add("dataset", "lab/big", files)
    found = client(hub).tree("lab/big", repo_type="dataset", revision=commit)
    assert {info.path for info in found} == {*files, ".gitattributes"}
    assert len(hub.log) == 2


def test_a_next_page_is_a_path_on_our_own_hub(hub, client):
    for i in range(5):
        hub.add("model", f"lab/m{i}", {})
    one = client(hub)
    page = one.get_page("/api/models", {"limit": 2})
    names = [row["id"] for row in page.rows]
    while page.next:
        assert page.next.startswith("/api/models?")
        page = one.get_page(page.next)
        names += [row["id"] for row in page.rows]
    assert sorted(names) == [f"lab/m{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("endpoint", "link", "path"),
    [
        ("https://mirror.example", "https://original.example/api/models?cursor=x", "/api/models"),
        ("https://a.example/hub", "https://a.example/hub/api/models?cursor=x", "/api/models"),
        ("https://a.example/hub", "https://original.example/api/models?cursor=x", "/api/models"),
    ],
)
def test_links_of_a_mirror(endpoint, link, path):
    assert Hub(endpoint=endpoint, token=False)._path(link) == f"{path}?cursor=x"


def test_what_is_no_hub(hub, client, commit):
    with pytest.raises(HubError, match="not what a Hub answers"):
        client(hub).get_json("/lab/tiny/resolve/main/README.md")
    with pytest.raises(HubError, match="can't be reached"):
        Hub(endpoint="http://127.0.0.1:9", token=False, attempts=1).get_json("/api/models")
    with pytest.raises(HubError, match="UnsupportedProtocol"):
        Hub(endpoint="huggingface.co", token=False).get_json("/api/models")


def test_a_small_file_that_is_not_small(hub, client, commit, monkeypatch):
    one, what = client(hub), {"repo_type": "model", "revision": commit}
    assert one.read("lab/tiny", "README.md", **what) == b"# Tiny"
    assert one.bytes_read == 6
    monkeypatch.setattr(module, "SMALL", 1_000_000)
    with pytest.raises(AccessError, match="which nobody expects"):
        one.read("lab/tiny", INFO.path, **what)


def test_a_branch_can_be_downloaded_and_is_what_it_is_now(hub, client, commit):
    one = client(hub)
    first = one.download("lab/tiny", "README.md", repo_type="model", revision="main")
    assert commit in str(first)
    hub.push("model", "lab/tiny", {"README.md": "# Other"})
    second = one.download("lab/tiny", "README.md", repo_type="model", revision="main")
    assert second.read_text() == "# Other"
    assert first.read_text() == "# Tiny"


def test_a_cached_file_is_not_asked_for(hub, client, commit):
    path = download(client(hub), commit)
    asked = len(hub.log)
    assert client(hub).download("lab/tiny", INFO.path, repo_type="model", revision=commit) == path
    assert len(hub.log) == asked


def test_a_remote_file_is_a_file(hub, client):
    table = pa.table({"name": [f"model-{i}" for i in range(80_000)], "score": [*range(80_000)]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=8000)
    commit = hub.add("dataset", "lab/table", {"a.parquet": buffer.getvalue()})
    one = client(hub)
    remote = one.open("lab/table", "a.parquet", repo_type="dataset", revision=commit)
    assert remote.size == len(buffer.getvalue())
    part = pq.ParquetFile(remote).read_row_group(3)
    assert part == table.slice(24_000, 8000)
    assert one.bytes_read < remote.size / 2
    assert remote.seek(-4, io.SEEK_END) == remote.tell() == remote.size - 4
    assert remote.readall() == b"PAR1"
    assert remote.read() == b""
    assert remote.seek(remote.size + 10) > remote.size
    assert remote.read(5) == b""
    remote.seek(0)
    assert io.BufferedReader(remote).read(4) == b"PAR1"


# --------------------------------------------------------------------- 19: names are contained


@pytest.mark.parametrize(
    "name", ["../x", "a/../b", "/etc/passwd", "a/b/c", "a\\b", "a/b\n", "a b/c", "", ".", "a/b\x00"]
)
def test_a_name_that_is_none_is_never_sent(hub, client, name):
    one = client(hub)
    for ask in (
        lambda: checked_id(name),
        lambda: one.head_commit(name, repo_type="model"),
        lambda: one.tree(name, repo_type="model", revision="main"),
        lambda: one.read(name, "f", repo_type="model", revision="main"),
        lambda: one.download(name, "f", repo_type="model", revision="a" * 40, info=INFO),
    ):
        with pytest.raises(AccessError):
            ask()
    assert hub.log == []


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "a\\b", "a\nb", "", ".", "a//b"]
)
def test_a_path_that_leaves_its_folder_is_never_written(hub, client, commit, path):
    with pytest.raises(AccessError, match="leaves the folder"):
        client(hub).download("lab/tiny", path, repo_type="model", revision=commit, info=INFO)
    with pytest.raises(AccessError):
        checked_path(path, path)
    assert hub.log == []
