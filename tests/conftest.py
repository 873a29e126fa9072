"""Settings that must stand before torch or the Hub client is imported: one thread, no network.

This file makes `tests/` importable, so a test can say `from tiny import tiny_text_model`.
"""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

pytest_plugins = ["hub_server.plugin"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: much of the suite waits for other processes."""
    return (os.cpu_count() or 1) * 3 // 2 + 1
