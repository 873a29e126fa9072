"""Jobs on the Hub: started once, found by their labels, seen to end."""

from __future__ import annotations

import pytest

from hf_select.errors import AccessError, HubError, InputError, SetupError
from hf_select.hub import jobs

LABELS = {"hf-select": "abc"}


def request(script="exit 0", **options):
    values = {
        "namespace": "alice",
        "image": "python:3.12",
        "command": ["bash", "-c", script],
        "flavor": "cpu-basic",
        "timeout": 600.0,
        "labels": LABELS,
        **options,
    }
    return jobs.Request(**values)


def wait(api, job):
    while not job.ended:
        job = jobs.inspect(api, job)
    return job


def test_a_job_is_started_and_seen_to_end(hub, client):
    api = client(hub)
    asked = request(
        "echo first; echo last of $HF_TOKEN; echo; exit 2",
        environment={"WORD": "x"},
        secrets={"HF_TOKEN": "hf_alice"},
    )
    assert "hf_alice" not in repr(asked)
    job = jobs.submit(api, asked)
    assert hub.jobs()[0].asked["timeoutSeconds"] == 600
    assert [found.id for found in jobs.list_jobs(api, "alice", LABELS)] == [job.id]
    assert jobs.list_jobs(api, "alice", {"hf-select": "other"}) == []
    done = wait(api, job)
    assert (done.stage, done.message) == ("ERROR", "Job failed with exit code 2")
    assert done.environment == {"WORD": "x"}
    assert jobs.list_jobs(api, "alice", LABELS, jobs.ACTIVE) == []
    hub.jobs()[0].process.wait()
    assert jobs.last_line(api, done) == "last of [removed]"


@pytest.mark.parametrize("answer", [{"status": 500}, {"status": 504}, {"cut": 5}])
def test_a_start_that_was_answered_with_an_error_is_found(hub, client, answer):
    hub.fault("POST", "/api/jobs/alice", applied=True, **answer)
    job = jobs.submit(client(hub), request())
    assert [one.id for one in hub.jobs()] == [job.id]
    assert len(hub.requests("POST", "/api/jobs/alice")) == 1


def test_a_start_that_failed_is_tried_again(hub, client):
    hub.fault("POST", "/api/jobs/alice", status=503, times=2)
    hub.fault("POST", "/api/jobs/alice", status=429, headers={"Retry-After": "7"})
    job = jobs.submit(client(hub), request())
    assert [one.id for one in hub.jobs()] == [job.id]
    assert max(client.slept) >= 7


def test_a_start_that_was_carried_out_late_is_ended(hub, client, monkeypatch):
    """Two jobs of one call: the first wasn't there yet when it was looked for."""
    hub.fault("POST", "/api/jobs/alice", status=500, applied=True)
    real = jobs.list_jobs
    monkeypatch.setattr(jobs, "list_jobs", lambda *a: real(*a) if len(hub.jobs()) > 1 else [])
    job = jobs.submit(client(hub), request("sleep 60"))
    assert [one.id for one in hub.jobs() if one.stage == "RUNNING"] == [job.id]
    assert [one.stage for one in hub.jobs() if one.id != job.id] == ["CANCELED"]


def test_what_is_refused_is_asked_once(hub, client):
    with pytest.raises(AccessError, match="right") as caught:
        jobs.submit(client(hub), request(namespace="bob"))
    assert "pull request" not in caught.value.hint
    with pytest.raises(HubError, match="Invalid flavor"):
        jobs.submit(client(hub), request(flavor="no-such"))
    with pytest.raises(SetupError):
        jobs.submit(client(hub, token=False), request())
    hub.fault("POST", "/api/jobs/alice", status=402, message="no credit is left", times=9)
    with pytest.raises(HubError, match="no credit is left"):
        jobs.submit(client(hub), request())
    assert len(hub.requests("POST")) == 4
    assert hub.jobs() == []


def test_a_job_is_ended(hub, client):
    api = client(hub)
    job = jobs.submit(api, request("sleep 60"))
    jobs.cancel(api, job)
    assert wait(api, job).stage == "CANCELED"
    jobs.cancel(api, job)


def test_flavors_are_the_hubs_or_the_clients(hub, client):
    found = jobs.flavors(client(hub))
    assert found["cpu-basic"] == pytest.approx(0.000167)
    assert set(found) == {"cpu-basic", "cpu-upgrade", "t4-small"}
    hub.fault("GET", "/api/jobs/hardware", status=404)
    assert jobs.flavors(client(hub))["a100-large"] is None


def test_a_log_that_the_hub_does_not_give_is_empty(hub, client):
    job = jobs.submit(client(hub), request())
    hub.fault("GET", "*/logs*", status=404)
    assert jobs.last_line(client(hub), job) == ""


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("30m", 1800), ("1.5h", 5400)])
def test_times(text, seconds):
    assert jobs.parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "5 weeks", "m", "nan", "1h30m"])
def test_no_times(text):
    with pytest.raises(InputError, match="timeout"):
        jobs.parse_time(text)
