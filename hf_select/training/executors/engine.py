"""Which executor runs the jobs, by its name, and with what options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from hf_select.errors import InputError, UnknownNameError
from hf_select.training.executors.base import Executor, JobFunction, Prepare

EXECUTORS: Mapping[str, tuple[str, str]] = {
    "local": ("hf_select.training.executors.local", "LocalExecutor"),
    "ray": ("hf_select.training.executors.ray", "RayExecutor"),
    "slurm": ("hf_select.training.executors.slurm", "SlurmExecutor"),
}
"""Name -> module and class. A class has `OPTIONS`, name -> (how to read its text, what it is), and
`check(options)`, which raises `InputError` where it can't run here, before anything starts."""


ON_THE_HUB = "hf-jobs"
"""One that isn't an engine of jobs of ours: whole benchmarks run there (`pipeline.remote`)."""


@dataclass(frozen=True)
class Engine:
    """An executor by its name, and its own options as text, such as {"partition": "gpu"}."""

    name: str = "local"
    options: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse an unknown name or option, a bad value, and an executor that can't run here.

        Raises `InputError`; nothing is started and nothing heavy is loaded for `local`.
        """
        if self.name not in EXECUTORS:
            raise UnknownNameError("executor", self.name, (*EXECUTORS, ON_THE_HUB))
        if self.name == "local" and not self.options:
            return
        made = self._class()
        made.check(self._values(made))

    @property
    def seconds_a_job(self) -> float | None:
        """How long the engine lets a job run at a stretch, where it was told so."""
        minutes = self.options.get("timeout_min")
        return None if minutes is None else 60.0 * float(minutes)

    def start(
        self,
        function: JobFunction,
        *,
        logs: Path,
        jobs: int | None = None,
        timeout: float | None = None,
        preload: Iterable[str] = (),
        prepare: Prepare | None = None,
    ) -> Executor:
        """The executor, ready to run jobs; the arguments are those of `LocalExecutor`.

        `prepare` is for those that load a job ahead; the function does all of it in the others.
        """
        self.check()
        made = self._class()
        values = self._values(made)
        if prepare is not None and getattr(made, "LOADS_AHEAD", False):
            values["prepare"] = prepare
        executor: Executor = made(
            function, logs=logs, jobs=jobs, timeout=timeout, preload=preload, **values
        )
        return executor

    def _class(self) -> Any:
        module, name = EXECUTORS[self.name]
        return getattr(import_module(module), name)

    def _values(self, made: Any) -> dict[str, Any]:
        known = made.OPTIONS
        values = {}
        for name, text in self.options.items():
            if name not in known:
                raise UnknownNameError(f"option of the executor {self.name}", name, known)
            read, what = known[name]
            try:
                values[name] = read(text)
            except ValueError as error:
                raise InputError(
                    f"the {self.name} option {name} is {text!r}, but must be {what}"
                ) from error
        return values
