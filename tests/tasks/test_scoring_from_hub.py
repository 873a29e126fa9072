"""A metric of the Hub's: fetched because it was named, kept, and there without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from foreign_metric import MODULE

CODE = MODULE.format(name="Mape", kind="float64", result='{"mape": max(misses)}').encode()
ASK = """
import numpy as np
from hf_select.tasks.scoring import scorer
print(scorer("evaluate:mape")(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
"""


@pytest.fixture
def space() -> Iterator[tuple[str, list[str]]]:
    """The address of a Hub that holds evaluate-metric/mape, and the paths that were asked for."""
    asked: list[str] = []

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            found = self.path.startswith("/spaces/evaluate-metric/mape/resolve/")
            found = found and self.path.endswith("/mape.py")
            self.send_response(200 if found else 404)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(CODE) if found else 0))
            self.end_headers()
            if found and self.command == "GET":
                self.wfile.write(CODE)

        do_GET = do_HEAD

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_it_is_fetched_once_and_then_there_offline(
    space: tuple[str, list[str]], tmp_path: Path
) -> None:
    endpoint, asked = space
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}

    def ask(offline: str) -> subprocess.CompletedProcess[str]:
        own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": offline}
        return subprocess.run(
            [sys.executable, "-c", ASK],
            env={**kept, **own},
            capture_output=True,
            text=True,
            check=False,
        )

    unknown = ask("1")
    assert "InputError: the metric 'mape' can't be loaded" in unknown.stderr
    assert asked == []
    first = ask("0")
    assert (first.stdout, first.returncode) == ("2.0\n", 0), first.stderr
    assert any(path.endswith("mape.py") for path in asked)
    asked.clear()
    again = ask("1")
    assert (again.stdout, again.returncode) == ("2.0\n", 0), again.stderr
    assert asked == []
