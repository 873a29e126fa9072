"""`hf-select crawl models` as a process of its own: killed, stopped, and what it prints."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_population import TASK, Model, populate

from hf_select.catalog import Catalog
from hf_select.cli.app import run
from hf_select.hub.crawl.candidates import read_candidates

pytestmark = pytest.mark.skipif(os.name == "nt", reason="real POSIX signals")

FILTERS = (
    *("--list-all", "--language", "en", "--license", "apache-2.0,mit", "--min-params", "10"),
    *("--max-params", "100M", "--downloads-at-least", "10", "--modified-after", "2024-01-01"),
    *("--max-per-base", "2", "--page-size", "4"),
)


def start(environment: dict[str, str], out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hf_select", "crawl", "models", "--task", TASK]
    command += ["--out", str(out), *FILTERS, *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def rows(out: Path) -> dict[str, dict[str, Any]]:
    found = [row for table in read_candidates(out) for row in table.to_pylist()]
    assert len({row["id"] for row in found}) == len(found)
    return {row["id"]: row for row in found}


@pytest.fixture
def expected(hub):
    return {n.encode("unicode_escape").decode(): why for n, why in populate(hub).items()}


@pytest.mark.slow
def test_killed_twice_a_crawl_asks_nothing_twice(hub, hub_env, tmp_path, expected):
    """SIGKILL while pages come, and again while models are looked at."""
    environment, out = hub_env(hub), tmp_path / "catalog"
    state = out / ".crawl" / f"models-{TASK}"
    slow = hub.fault("GET", "/api/models[?]*", times=math.inf, delay=0.1)
    first = start(environment, out)
    wait_for(lambda: len(list(state.glob("pages/*.arrow"))) >= 5, first)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    pages = {path.name: path.read_bytes() for path in state.glob("pages/*.arrow")}
    assert not (out / "catalog.json").exists()
    first.communicate()

    slow.delay = 0
    hub.fault("GET", "*/tree/*", times=math.inf, delay=0.1)
    second = start(environment, out)
    findings = state / "findings.jsonl"
    # The file is there a moment before its first line.
    wait_for(lambda: findings.exists() and b"\n" in findings.read_bytes(), second)
    second.kill()
    assert second.wait() == -signal.SIGKILL
    kept = {path.name: path.read_bytes() for path in state.glob("pages/*.arrow")}
    assert kept.items() > pages.items()
    second.communicate()

    third = start(environment, out, "--json")
    stdout, stderr = third.communicate(timeout=120)
    assert third.returncode == 0, stderr
    document = json.loads(stdout)
    assert {name: row["reason"] for name, row in rows(out).items()} == expected
    assert document["seen"] == len(expected)
    assert document["accepted"] == len(Catalog.load(out).models)
    assert document["resumed_after"] == document["pages"] == len(kept)
    assert document["requests"] < len(hub.log)
    # What was under way at a kill is asked for again, everything else once: at most the page and
    # one model a thread, each of those with up to three requests.
    times = Counter(request.target for request in hub.log)
    again = {target for target, count in times.items() if count > 1}
    assert len([target for target in again if target.startswith("/api/models?")]) <= 1
    assert len([target for target in again if "/tree/" in target]) <= 4
    assert max(times.values()) == 2


def test_ctrl_c_ends_after_the_page_with_exit_code_3(hub, hub_env, tmp_path, expected):
    out = tmp_path / "catalog"
    hub.fault("GET", "/api/models[?]*", times=math.inf, delay=0.1)
    process = start(hub_env(hub), out, "--json")
    pages = out / ".crawl" / f"models-{TASK}" / "pages"
    wait_for(lambda: len(list(pages.glob("*.arrow"))) >= 2, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3, stderr
    error = json.loads(stdout)["error"]
    assert (error["type"], error["hint"]) == ("StoppedError", "the same command goes on")
    assert "stopping after this step" in stderr
    assert not (out / "catalog.json").exists()


def crawl(*args: str) -> int:
    return run(["crawl", "models", "--task", TASK, *args])


def test_what_a_person_reads(hub, tmp_path, capsys, expected):
    assert crawl("--out", str(tmp_path / "c"), *FILTERS) == 0
    out, err = capsys.readouterr()
    assert "page 1: 1 new, 1 so far (fill-mask)" in err
    assert "17 of 73 models are candidates" in err  # nobody sees the private one
    assert "     3  gated " in out
    assert "it is gated: its conditions have to be accepted on the Hub" in out
    assert f"11 of 73 models accepted into {tmp_path / 'c'}" in out
    assert re.search(r"[0-9]+ requests, [0-9.]+ (kB|MB|bytes) of files", out)
    assert crawl("--out", str(tmp_path / "c"), *FILTERS, "--quiet", "--since-last") == 0
    assert capsys.readouterr().err == ""


def test_since_last_alone_asks_for_what_was_asked_for(hub, tmp_path, capsys, expected):
    out = str(tmp_path / "c")
    assert crawl("--out", out, *FILTERS, "--limit", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 2
    plan = json.loads(next(Path(out).glob(".crawl/*/plan.json")).read_text())
    assert crawl("--out", out, "--since-last", "--json") == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 2
    again = json.loads(next(Path(out).glob(".crawl/*/plan.json")).read_text())
    assert (again["query"], again["limit"]) == (plan["query"], 2)
    assert crawl("--out", out, "--since-last", "--license", "wtfpl") == 2  # another question
    assert "licenses" in capsys.readouterr().err
    assert crawl("--out", out) == 2  # without --since-last nothing is taken from there


def test_a_list_of_names(hub, tmp_path, capsys):
    Model("lab/one").add_to(hub)
    names = tmp_path / "names.txt"
    names.write_text("# two\nlab/one\nlab/never\n")
    out = tmp_path / "c"
    assert crawl("--out", str(out), "--from-list", str(names), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["accepted"], document["rejected"]) == (1, {"not_found": 1})
    names.write_text("lab/one\n")
    assert crawl("--out", str(out), "--from-list", str(names)) == 2
    assert "(ids)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--max-params", "lots"), "'lots' is not a number"),
        (("--modified-after", "once"), "'once' is not a date"),
        (("--source", "web"), "unknown source 'web'"),
        (("--from-list", "nowhere.txt"), "nowhere.txt can't be read"),
        (("--min-params", "2M", "--max-params", "1M"), "no model has at least 2000000"),
        (("--limit", "-1"), "0 (none) or more"),
        (("--page-size", "x"), "--page-size"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(hub, tmp_path, capsys, args, words):
    assert crawl("--out", str(tmp_path / "c"), *args) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    assert hub.log == []


def test_an_unknown_task_and_a_missing_folder(capsys):
    assert run(["crawl", "models", "--task", "poetry", "--out", "x"]) == 2
    assert "unknown task 'poetry'" in capsys.readouterr().err
    assert run(["crawl", "models", "--task", TASK]) == 2
    assert "--out" in capsys.readouterr().err
    assert run(["crawl", "spaces"]) == 2
    assert "There are: models, datasets" in capsys.readouterr().err


def test_a_hub_that_fails_ends_with_1(hub, tmp_path, capsys):
    hub.fault("GET", "/api/models[?]*", status=400, times=math.inf)
    assert crawl("--out", str(tmp_path / "c")) == 1
    assert "the Hub answered 400" in capsys.readouterr().err


def test_help_lists_every_option_with_a_line(capsys):
    assert run(["crawl", "models", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "hf-select crawl models --task" in shown
    assert "--since-last" in shown
