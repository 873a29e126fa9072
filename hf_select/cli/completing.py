"""What the shell may complete: the names of registries, files and folders. Nothing heavy loads.

A row a flag: what it may be given. A registry's module is imported only when its names are asked
for, and none of these loads torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from hf_select.cli.settings import key_of


def _names(module: str, registry: str) -> Callable[[], list[str]]:
    """The names of a registry: a dict or a tuple in a module of ours."""
    return lambda: sorted(getattr(import_module(f"hf_select.{module}"), registry))


def _methods() -> list[str]:
    return [
        *_names("recall.methods", "RECALL_METHODS")(),
        *(f"proxy:{name}" for name in _names("proxies", "PROXIES")()),
    ]


def _executors() -> list[str]:
    engine = import_module("hf_select.training.executors.engine")
    return [*engine.EXECUTORS, engine.ON_THE_HUB]


VALUES: dict[str, Callable[[], list[str]]] = {
    "task": _names("records", "TASK_KINDS"),
    "metric": _names("metrics", "METRICS"),
    "policy": _names("selection.policies", "POLICIES"),
    "policies": _names("selection.policies", "POLICIES"),
    "method": _methods,
    "methods": _methods,
    "proxy": _names("proxies", "PROXIES"),
    "proxies": _names("proxies", "PROXIES"),
    "algorithm": _names("clustering.algorithms", "CLUSTERERS"),
    "preset": _names("pipeline.base", "PRESETS"),
    "executor": _executors,
    "log_with": _names("training.tracking", "TRACKERS"),
    "parallel": lambda: ["jobs", "data"],
    "phase": lambda: ["recall", "selection"],
    "cost": lambda: ["epochs", "seconds"],
    "kind": lambda: ["runs", "proxies"],
    "format": lambda: ["long", "wide", "paper"],
    "source": lambda: ["api", "hub-stats"],
    "shell": lambda: ["bash", "fish", "zsh"],
    "precision": lambda: ["no", "bf16", "fp16"],
}
"""Flag -> the values that it takes; of flags that take several, by commas, each."""

OF_THE_DEMO: dict[str, Callable[[], list[str]]] = {"task": _names("demo.targets", "DEMO_TASKS")}
"""Those of `demo`, whose `--task` is another one."""

FOLDERS = frozenset(["results", "out", "record", "catalog", "where", "target", "figures"])
FILES = frozenset(["catalog", "target", "file", "figure", "recipe", "cells", "config", "from_list"])
FILES |= {"train", "validation", "test"}
"""What is a path: folders, files, or both."""

RECORDS = frozenset(["results", "record", "where"])
SEVERAL = frozenset(["policies", "methods", "proxies"])


def teach(command: click.Command) -> None:
    """Let every option and argument of a command complete what it takes."""
    for param in command.params:
        key = key_of(param) if isinstance(param, click.Option) else (param.name or "")
        values = VALUES.get(key)
        if command.name == "demo":
            values = OF_THE_DEMO.get(key, values)
        if values is not None or key in FOLDERS | FILES:
            _set(param, key, values)


def _set(param: click.Parameter, key: str, values: Callable[[], list[str]] | None) -> None:
    def complete(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if values is not None:
            return _by_commas(values(), incomplete, key in SEVERAL)
        found = [CompletionItem("demo")] if key in RECORDS and "demo".startswith(incomplete) else []
        kind = "file" if key in FILES else "dir"  # a shell completes folders as files, too
        return [*found, CompletionItem(incomplete, type=kind)]

    # What click's own `shell_complete=` argument of an option sets, for whole tables of them.
    setattr(param, "shell_complete", complete)  # noqa: B010


def _by_commas(names: Iterable[str], incomplete: str, several: bool) -> list[CompletionItem]:
    """The names that go on from what is typed, behind the last comma where there can be several.

    >>> [item.value for item in _by_commas(["asha", "halving"], "trend,h", True)]
    ['trend,halving']
    """
    before, comma, last = incomplete.rpartition(",") if several else ("", "", incomplete)
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(last)]
