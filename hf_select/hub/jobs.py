"""Jobs on the Hub: start one exactly once, find them by their labels, look at them, end them.

To start a job is not idempotent: one that was answered with a 500, or not at all, may run. So each
carries a label of its own, and before it is asked for again the jobs with that label are listed.
"""

from __future__ import annotations

import re
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hf_select.errors import AccessError, HfSelectError, HubError, InputError, SetupError
from hf_select.hub import wording
from hf_select.hub.client import RETRIED, Hub
from hf_select.planning import UNITS
from hf_select.redaction import redact

ACTIVE = ("SCHEDULING", "RUNNING")
ENDED = ("COMPLETED", "ERROR", "CANCELED", "DELETED")
CALL = "hf-select-call"
"""The label that only the jobs of one `submit` bear: one, unless something went wrong."""
TRIES = 6
"""Attempts to start one job."""
TAIL = 20
"""Lines at the end of a log that are looked through for one that says something."""


@dataclass(frozen=True)
class Job:
    """A job as the Hub shows it; `environment` is what it was given, without secrets."""

    id: str
    namespace: str
    stage: str
    message: str = ""
    created: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it won't run any further."""
        return self.stage in ENDED

    @classmethod
    def from_row(cls, row: Mapping[str, Any], namespace: str) -> Job:
        """From a row of the API."""
        status = row.get("status") or {}
        return cls(
            id=str(row["id"]),
            namespace=namespace,
            stage=str(status.get("stage", "")),
            message=redact(str(status.get("message") or "")),
            created=str(row.get("createdAt") or ""),
            labels=row.get("labels") or {},
            environment=row.get("environment") or {},
        )


@dataclass(frozen=True)
class Request:
    """A job to start. Whoever may see the job sees all of it but `secrets`."""

    namespace: str
    image: str
    command: Sequence[str]
    flavor: str
    timeout: float  # seconds
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def submit(hub: Hub, request: Request) -> Job:
    """Start a job, once, whatever is answered.

    Raises `AccessError` where the token may not, and `HubError` when the Hub gave up; a job may
    run even then, and its labels find it.
    """
    labels = {**request.labels, CALL: uuid.uuid4().hex}
    doubt = False
    for attempt in range(1, TRIES + 1):
        if doubt:
            found = only_one(hub, request.namespace, {CALL: labels[CALL]})
            if found is not None:
                return found
        try:
            made = _send(hub, request, labels)
        except HubError as error:
            status = wording.status_of(error.__cause__) if error.__cause__ else None
            refused = (
                status is not None and status < 500 and (status == 429 or status not in RETRIED)
            )
            if refused or attempt == TRIES:
                raise
            doubt = True
            hub.pause(attempt)
            continue
        # the attempt before may have been carried out a moment after it was looked for
        if doubt:
            return only_one(hub, request.namespace, {CALL: labels[CALL]}) or made
        return made
    raise AssertionError("the last attempt returns or raises")


def _send(hub: Hub, request: Request, labels: Mapping[str, str]) -> Job:
    try:
        info = hub.call(
            hub.api.run_job,
            image=request.image,
            command=list(request.command),
            env=dict(request.environment),
            secrets=dict(request.secrets) or None,
            flavor=request.flavor,
            timeout=int(request.timeout),  # never left out: `call` would put its own there
            labels=dict(labels),
            namespace=request.namespace,
            what=f"a job of {request.namespace}",
            retry_server_errors=False,
        )
    except SetupError:
        raise
    except AccessError as error:
        raise AccessError(
            error.message,
            hint="a job needs a token that may start jobs in that namespace, and someone who pays",
        ) from error
    return Job(
        info.id,
        request.namespace,
        str(getattr(info.status.stage, "value", info.status.stage)),
        message=redact(info.status.message or ""),
        labels=labels,
        environment=request.environment,
    )


def only_one(
    hub: Hub, namespace: str, labels: Mapping[str, str], stages: Sequence[str] = ()
) -> Job | None:
    """The job with these labels, the oldest if there are several: the others are ended."""
    found = sorted(list_jobs(hub, namespace, labels, stages), key=lambda job: (job.created, job.id))
    for other in found[1:]:
        cancel(hub, other)
    return found[0] if found else None


def list_jobs(
    hub: Hub, namespace: str, labels: Mapping[str, str], stages: Sequence[str] = ()
) -> list[Job]:
    """The jobs of a namespace that bear these labels, in one of the stages (in any if empty)."""
    url: str | None = f"/api/jobs/{quote(namespace, safe='')}"
    params: dict[str, Any] | None = {
        "label": [f"{name}={value}" for name, value in labels.items()],
        **({"stage": list(stages)} if stages else {}),
    }
    found = []
    while url:
        page = hub.get_page(url, params, what=f"the jobs of {namespace}")
        found += [Job.from_row(row, namespace) for row in page.rows]
        url, params = page.next, None
    return [  # a Hub that doesn't know a filter gives everything
        job
        for job in found
        if labels.items() <= job.labels.items() and (not stages or job.stage in stages)
    ]


def inspect(hub: Hub, job: Job) -> Job:
    """The job as it is now."""
    url = f"/api/jobs/{quote(job.namespace, safe='')}/{quote(job.id, safe='')}"
    return Job.from_row(hub.get_json(url, what=f"job {job.id}"), job.namespace)


def cancel(hub: Hub, job: Job) -> None:
    """End it; nothing happens to one that has ended."""
    hub.call(hub.api.cancel_job, job_id=job.id, namespace=job.namespace, what=f"job {job.id}")


def last_line(hub: Hub, job: Job) -> str:
    """The last line that the job has printed; empty where the Hub doesn't give its log."""

    def read() -> deque[str]:
        lines = hub.api.fetch_job_logs(job_id=job.id, namespace=job.namespace, tail=TAIL)
        return deque((line.strip() for line in lines if line.strip()), maxlen=1)

    try:
        found = hub.call(read, what=f"the log of job {job.id}")
    except HfSelectError:
        return ""
    text = redact(found[0][:500]) if found else ""
    secret = hub.secret()
    return text.replace(secret, "[removed]") if secret else text


def flavors(hub: Hub) -> dict[str, float | None]:
    """The machines that jobs can have -> dollars a minute (None where the Hub doesn't say)."""
    from huggingface_hub import JobHardware

    try:
        rows = hub.get_json("/api/jobs/hardware", what="the list of hardware")
        found: dict[str, float | None] = {
            str(row["name"]): _price(row) for row in rows if row.get("name")
        }
    except SetupError:
        raise
    except (AccessError, HubError, AttributeError, TypeError):  # it has no such list
        found = {}
    return found or {str(flavor.value): None for flavor in JobHardware}


def _price(row: Mapping[str, Any]) -> float | None:
    price = row.get("unitCostUSD")
    return float(price) if row.get("unitLabel") == "minute" and price is not None else None


def parse_time(text: str) -> float:
    """Seconds of `90`, `45s`, `30m`, `1.5h` or `1d`; `InputError` for anything else.

    >>> parse_time("30m")
    1800.0
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", text)
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if seconds < 1:
        raise InputError(
            f"timeout is {text!r}, but must be a time of at least a second",
            hint="such as 45s, 30m, 2h or 1d",
        )
    return seconds
