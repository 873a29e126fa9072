"""Fixtures for tests that talk to a local Hub: `hub`, `client`, `hub_env`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

OWN = ("HF_", "HUGGING", "TRANSFORMERS_")
"""How the names begin of variables that hold somebody's token, cache or settings."""


def environment(hub, home, token):
    """What says where the Hub is, who asks, and where files are kept."""
    variables = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(Path(home) / "hf-home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "0",
        "OMP_NUM_THREADS": "1",
    }
    return variables if token is None else {**variables, "HF_TOKEN": token}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A fresh local Hub that huggingface_hub reaches in this process, and so do its children.

    The suite runs offline and huggingface_hub reads its environment at import, so its constants are
    set here too. Nobody's token and nobody's cache are used. `datasets` and `transformers` want a
    process of their own, with the environment of `hub_env`.
    """
    from huggingface_hub import constants

    from hf_select.demo.hub_server import LocalHub

    for name in [name for name in os.environ if name.startswith(OWN)]:
        monkeypatch.delenv(name)
    with LocalHub() as served:
        variables = environment(served, tmp_path, None)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        home = Path(variables["HF_HOME"])
        pattern = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        for name, value in {
            "ENDPOINT": served.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": served.endpoint + pattern,
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        }.items():
            monkeypatch.setattr(constants, name, value)
        yield served
    assert served.bugs == []


class Clients:
    """Makes the package's own client; its waits end at once and are kept in `slept`."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def __call__(self, hub, token="hf_alice", **options):
        from hf_select.hub.client import Hub

        options = {"sleep": self.slept.append, **options}
        return Hub(endpoint=hub.endpoint, token=token, **options)


@pytest.fixture
def client():
    """`client(hub, token="hf_alice")` -> `hf_select.hub.client.Hub`; `client.slept`: its waits."""
    return Clients()


@pytest.fixture
def hub_env(tmp_path):
    """`hub_env(hub, home=..., token="hf_alice")` -> the environment of a subprocess.

    Another `home` is another machine: another cache. `token=None`: nobody.
    """

    def make(hub, home=tmp_path, token="hf_alice"):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        return kept | environment(hub, home, token)

    return make
