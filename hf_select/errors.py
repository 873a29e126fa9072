"""Every error that hf-select raises on purpose.

HfSelectError                 exit code 1
├── InputError                exit code 2: bad input or usage; nothing was written
│   ├── UnknownNameError      a name that is in no registry; lists the valid ones
│   ├── DataError             a file, column, split or row that can't be used
│   ├── ModelError            a model folder that can't or must not be loaded
│   ├── RecordError           a results repository that can't be used, or not for this
│   └── AccessError           the Hub says no: not allowed, gated, disabled, offline
│       ├── MissingError      no such repository, revision or file on the Hub
│       └── SetupError        offline mode, no token, a wrong one: whatever was asked for
├── HubError                  the Hub can't be reached or gave up; the same command goes on
│   ├── ConflictError         somebody else published first (409, 412)
│   ├── RefusedError          a commit that is refused for what it is (`hub.commit`)
│   └── DamagedError          a file that arrives damaged time and again (`hub.cache`)
├── TrialError                one fine-tuning failed; carries the status that is recorded
├── LoneError                 in one process of several that train together: all must end
└── StoppedError              exit code 3: stopped on purpose; the same command goes on
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from hf_select.redaction import redact


class HfSelectError(Exception):
    """Base of all: a message that names the value, and a hint that names the next step."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = redact(message)
        self.hint = redact(hint)
        super().__init__(self.message)

    def to_dict(self) -> dict[str, dict[str, str]]:
        """The document that `--json` prints for an error."""
        return {"error": {"type": type(self).__name__, "message": self.message, "hint": self.hint}}


class InputError(HfSelectError):
    """Bad input or usage, found before any download or training."""

    exit_code = 2


class UnknownNameError(InputError):
    """A name that is not in the registry it was looked up in."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        names = sorted(valid)
        near = get_close_matches(name, names, n=1)
        hint = f"valid names: {', '.join(names)}" if names else "there is none to choose from"
        if near:
            hint = f"did you mean {near[0]!r}? {hint}"
        super().__init__(f"unknown {kind} {name!r}", hint=hint)


class DataError(InputError):
    """Data that can't be used; the message names the file, column, split or row."""


class ModelError(InputError):
    """A model that can't be loaded, or must not be: no weights, pickled weights, custom code."""


class RecordError(InputError):
    """A results repository that is missing, damaged, of a newer schema, or of another task."""


class AccessError(InputError):
    """The Hub says no: unknown, a token without the right, gated, disabled, or offline."""


class MissingError(AccessError):
    """It isn't on the Hub. `missing` is "repository", "revision" or "file".

    Or "type": there is a repository of that name, but of another type.
    """

    def __init__(self, message: str, *, missing: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.missing = missing


class SetupError(AccessError):
    """Offline mode, no token or a wrong one: the user's own set-up, whatever was asked for."""


class HubError(HfSelectError):
    """The Hub can't be reached, or went on failing; the same command goes on later."""


class ConflictError(HubError):
    """Somebody else committed first (409, 412): read again what is there, then commit again."""


class TrialError(HfSelectError):
    """One fine-tuning failed. `status` is what the record keeps (see `records.STATUSES`)."""

    def __init__(self, message: str, *, status: str = "failed", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class LoneError(HfSelectError):
    """An error of one process while the others wait for it: all of them must end.

    `micro_batch`: rows in one backward pass with which it may fit memory, 0 = none.
    """

    def __init__(
        self, message: str, *, status: str = "failed", micro_batch: int = 0, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.status, self.micro_batch = status, micro_batch


class StoppedError(HfSelectError):
    """The work was stopped on purpose and can be resumed with the same command.

    `so_far` is the best answer until then, as JSON, where there was one.
    """

    exit_code = 3
    so_far: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The document that `--json` prints, with the best answer so far."""
        found: dict[str, Any] = super().to_dict()
        return {**found, "so_far": dict(self.so_far)} if self.so_far else found
