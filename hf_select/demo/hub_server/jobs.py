"""Jobs: what the Hub would run in a container is a process on this machine.

It gets what the job asked for as environment, this Hub as its own, and a temporary folder to work
in, which goes with it as a container's disk would. No image is looked at. A job that takes too
long is killed without a warning; one that is cancelled gets a SIGTERM first.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_select.demo.hub_server.access import writer
from hf_select.demo.hub_server.answers import Answer, Call, Refused
from hf_select.demo.hub_server.store import Store, User, now

TIMEOUT = 1800.0
"""Seconds that a job may take which names no time-out, as on the Hub."""
GRACE = 10.0
"""Seconds between the SIGTERM and the SIGKILL of a job that is cancelled."""
PAGE = 100
TERMINAL = ("COMPLETED", "ERROR", "CANCELED", "DELETED")
_SOMEBODYS = ("HF_", "HUGGING", "TRANSFORMERS_")
"""How variables begin that say whose token and which cache to use: a container has none of them."""
_GPU = {"type": "gpu", "model": "T4", "quantity": "1", "vram": "16 GB", "manufacturer": "Nvidia"}
HARDWARE: Mapping[str, tuple[str, int, dict[str, str] | None]] = {
    "cpu-basic": ("CPU Basic", 167, None),
    "cpu-upgrade": ("CPU Upgrade", 500, None),
    "t4-small": ("Nvidia T4 - small", 6667, _GPU),
}
"""Flavor -> what it is called, micro-dollars a minute, and its accelerator."""


@dataclass(eq=False)
class LocalJob:
    """One job; `stage` and `message` are as the Hub words them."""

    id: str
    namespace: str
    kind: str
    asked: Mapping[str, Any]
    """The body of the request, less its secrets."""
    process: subprocess.Popen[str]
    folder: Path
    stage: str = "RUNNING"
    message: str | None = None
    created: str = field(default_factory=now)
    finished: str | None = None
    log: list[tuple[str, str]] = field(default_factory=list)
    """Time and text of each line that it printed."""
    guard: threading.Lock = field(default_factory=threading.Lock)

    def end(self, stage: str, message: str | None = None) -> bool:
        """Note how it ended; False if it had ended already."""
        with self.guard:
            if self.stage in TERMINAL:
                return False
            self.stage, self.message, self.finished = stage, message, now()
            return True

    def signal(self, number: int) -> None:
        """Send a signal to the job and all that it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it ends right now
            os.killpg(self.process.pid, number)

    def row(self) -> dict[str, Any]:
        """As the API shows it: what is secret isn't."""
        asked = self.asked
        with self.guard:
            status, finished = {"stage": self.stage, "message": self.message}, self.finished
        return {
            "id": self.id,
            "type": "job",
            "createdAt": self.created,
            "startedAt": self.created,
            "finishedAt": finished,
            "dockerImage": asked.get("dockerImage"),
            "spaceId": asked.get("spaceId"),
            "command": asked.get("command"),
            "arguments": asked.get("arguments") or [],
            "environment": asked.get("environment") or {},
            "secrets": {},
            "flavor": asked.get("flavor"),
            "labels": asked.get("labels") or {},
            "status": status,
            "owner": {"id": self.namespace, "name": self.namespace, "type": self.kind},
        }


def hardware(store: Store, call: Call) -> Answer:
    """GET /api/jobs/hardware."""
    rows = [
        {
            "name": name,
            "prettyName": title,
            "cpu": "2 vCPU",
            "ram": "16 GB",
            "ephemeralStorage": "20 GB",
            "accelerator": accelerator,
            "unitCostMicroUSD": price,
            "unitCostUSD": price / 1e6,
            "unitLabel": "minute",
        }
        for name, (title, price, accelerator) in HARDWARE.items()
    ]
    return Answer(rows)


def listing(store: Store, call: Call, *, namespace: str) -> Answer:
    """GET /api/jobs/NAMESPACE, newest first, by `stage` and `label` (KEY=VALUE), page by page."""
    _member(call.user, namespace)
    labels = {tuple(text.partition("=")[::2]) for text in call.query.get("label", [])}
    stages = call.query.get("stage", [])
    found = [
        job
        for job in reversed(list(store.jobs.values()))
        if job.namespace == namespace
        and (not stages or job.stage in stages)
        and labels <= set((job.asked.get("labels") or {}).items())
    ]
    start = int(call.value("cursor", "0"))
    headers = {}
    if start + PAGE < len(found):
        asked = [("label", "=".join(pair)) for pair in labels] + [("stage", s) for s in stages]
        query = "&".join(f"{name}={text}" for name, text in asked)
        page = f"{store.endpoint}{call.path}?{query}&cursor={start + PAGE}"
        headers["Link"] = f'<{page}>; rel="next"'
    return Answer([job.row() for job in found[start : start + PAGE]], headers=headers)


def start(store: Store, call: Call, *, namespace: str) -> Answer:
    """POST /api/jobs/NAMESPACE: start a process."""
    user = writer(_member(call.user, namespace))
    asked = call.json()
    command = [*(asked.get("command") or []), *(asked.get("arguments") or [])]
    if not command or not (asked.get("dockerImage") or asked.get("spaceId")):
        raise Refused(400, "a job needs a command and an image")
    if asked.get("flavor") not in HARDWARE:
        raise Refused(400, f"Invalid flavor {asked.get('flavor')!r}")
    hidden = asked.pop("secrets", None) or {}
    folder = Path(tempfile.mkdtemp(prefix="hf-select-job-"))
    job_id = secrets.token_hex(12)
    given = {name: str(text) for name, text in (asked.get("environment") or {}).items()}
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**_environment(store, folder), "JOB_ID": job_id, **given, **hidden},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise Refused(400, f"the command can't be started: {error}") from None
    kind = "user" if namespace == user.name else "org"
    job = LocalJob(job_id, namespace, kind, asked, process, folder)
    store.jobs[job_id] = job
    threading.Thread(target=_follow, args=(job,), daemon=True).start()
    _after(float(asked.get("timeoutSeconds") or TIMEOUT), _time_out, job)
    return Answer(job.row())


def details(store: Store, call: Call, *, namespace: str, job: str) -> Answer:
    """GET /api/jobs/NAMESPACE/ID."""
    return Answer(_find(store, call, namespace, job).row())


def cancel(store: Store, call: Call, *, namespace: str, job: str) -> Answer:
    """POST /api/jobs/NAMESPACE/ID/cancel; one that has ended stays as it is."""
    found = _find(store, call, namespace, job)
    writer(call.user)
    if found.end("CANCELED"):
        found.signal(signal.SIGTERM)
        _after(GRACE, _kill, found)
    return Answer(found.row())


def logs(store: Store, call: Call, *, namespace: str, job: str) -> Answer:
    """GET /api/jobs/NAMESPACE/ID/logs: what it has printed so far (its `tail`), as events."""
    lines = list(_find(store, call, namespace, job).log)
    if call.value("tail"):
        lines = lines[-int(call.value("tail")) :]
    events = [json.dumps({"data": text, "timestamp": moment}) for moment, text in lines]
    body = "".join(f"data: {event}\n\n" for event in events)
    return Answer(body.encode(), headers={"Content-Type": "text/event-stream"})


def kill_all(store: Store) -> None:
    """End the jobs that run, as when the machine below them goes."""
    for job in list(store.jobs.values()):
        if job.end("ERROR", "the server was closed"):
            job.signal(signal.SIGKILL)
            job.process.wait()


def _member(user: User | None, namespace: str) -> User:
    """The user, if the jobs of that namespace are theirs to see."""
    if user is None:
        raise Refused(401, "Invalid username or password.")
    if not user.belongs_to(namespace):
        raise Refused(403, f"You don't have access to the jobs of {namespace}.")
    return user


def _find(store: Store, call: Call, namespace: str, job: str) -> LocalJob:
    _member(call.user, namespace)
    found = store.jobs.get(job)
    if found is None or found.namespace != namespace:
        raise Refused(404, "Job not found")
    return found


def _environment(store: Store, folder: Path) -> dict[str, str]:
    """This process's environment without anybody's token; `python` is the one that runs here."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(_SOMEBODYS)}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "HF_HOME": str(folder / "hf-home"),
        "HF_ENDPOINT": store.endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def _follow(job: LocalJob) -> None:
    """Keep what the job prints; when it has ended, say so and remove its folder."""
    assert job.process.stdout is not None
    for line in job.process.stdout:
        job.log.append((now(), line.rstrip("\n")))
    code = job.process.wait()
    if code == 0:
        job.end("COMPLETED")
    else:
        job.end("ERROR", f"Job failed with exit code {code if code > 0 else 128 - code}")
    job.signal(signal.SIGKILL)  # what it started and left behind
    shutil.rmtree(job.folder, ignore_errors=True)


def _kill(job: LocalJob) -> None:
    if job.process.poll() is None:
        job.signal(signal.SIGKILL)


def _time_out(job: LocalJob) -> None:
    if job.end("ERROR", "Job timeout"):
        _kill(job)


def _after(seconds: float, function: Any, *args: Any) -> None:
    timer = threading.Timer(seconds, function, args)
    timer.daemon = True
    timer.start()
