"""Jobs of the local Hub, driven by the real client over HTTP."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from hf_select.demo.hub_server import jobs

ENDED = ("COMPLETED", "ERROR", "CANCELED")


def api(hub, token="hf_alice"):
    return HfApi(endpoint=hub.endpoint, token=token)


def run(hub, script, *, token="hf_alice", **options):
    options = {"image": "python:3.12", "flavor": "cpu-basic", "namespace": "alice", **options}
    return api(hub, token).run_job(command=["bash", "-c", script], **options)


def ended(hub, job, namespace="alice"):
    end = time.monotonic() + 30
    while True:
        found = api(hub).inspect_job(job_id=job.id, namespace=namespace)
        if found.status.stage in ENDED:
            return found
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def logs(hub, job):
    return list(api(hub).fetch_job_logs(job_id=job.id, namespace="alice"))


def refused(function, *args, **options):
    with pytest.raises(HfHubHTTPError) as caught:
        function(*args, **options)
    return caught.value.response.status_code


def test_a_job_gets_its_variables_and_secrets_and_shows_only_the_former(hub):
    script = 'echo "$WORD $HF_TOKEN $HF_ENDPOINT"; pwd; command -v python; echo "$HF_HOME"'
    job = run(
        hub,
        script,
        env={"WORD": "hello"},
        secrets={"HF_TOKEN": "hf_secret"},
        labels={"kind": "test"},
    )
    done = ended(hub, job)
    assert (done.status.stage, done.status.message) == ("COMPLETED", None)
    assert done.finished_at >= done.created_at
    said, where, python, home = logs(hub, job)
    assert said == f"hello hf_secret {hub.endpoint}"
    assert home.startswith(where)
    assert Path(where) != Path.cwd()
    assert "python" in python
    assert not Path(where).exists()  # its disk is gone
    assert done.environment == {"WORD": "hello"}
    assert "hf_secret" not in repr(done)
    assert done.labels["kind"] == "test"
    assert list(api(hub).fetch_job_logs(job_id=job.id, namespace="alice", tail=1)) == [home]


def test_how_jobs_end(hub):
    failed = run(hub, "echo no >&2; exit 3")
    canceled = run(hub, "trap 'echo bye; exit 0' TERM; echo up; while true; do sleep 0.05; done")
    late = run(hub, "sleep 60 & sleep 60", timeout="1s")
    found = ended(hub, failed)
    assert (found.status.stage, found.status.message) == ("ERROR", "Job failed with exit code 3")
    assert logs(hub, failed) == ["no"]
    wait_for(lambda: logs(hub, canceled) == ["up"])
    api(hub).cancel_job(job_id=canceled.id, namespace="alice")
    assert ended(hub, canceled).status.stage == "CANCELED"
    wait_for(lambda: logs(hub, canceled)[-1] == "bye")
    api(hub).cancel_job(job_id=failed.id, namespace="alice")  # has ended, and stays so
    assert ended(hub, failed).status.stage == "ERROR"
    found = ended(hub, late)
    assert (found.status.stage, found.status.message) == ("ERROR", "Job timeout")
    hub.jobs()[2].process.wait(timeout=10)


def test_listings_by_label_and_stage(hub, monkeypatch):
    monkeypatch.setattr(jobs, "PAGE", 2)
    made = [run(hub, "exit 0", labels={"n": str(n), "all": "yes"}) for n in range(5)]
    for job in made:
        ended(hub, job)
    running = run(hub, "sleep 60", labels={"n": "9"})

    def ids(**options):
        return [job.id for job in api(hub).list_jobs(namespace="alice", **options)]

    assert ids() == [running.id, *(job.id for job in reversed(made))]
    assert ids(labels={"all": "yes"}) == [job.id for job in reversed(made)]
    assert ids(labels={"all": "yes", "n": "3"}) == [made[3].id]
    assert ids(status="RUNNING") == ids(labels={"n": "9"}) == [running.id]
    assert ids(status=["RUNNING", "COMPLETED"]) == ids()
    assert ids(labels={"n": "7"}) == []


def test_whose_jobs_they_are(hub):
    job = run(hub, "sleep 60", namespace="lab")
    assert (job.owner.type, job.status.stage) == ("org", "RUNNING")
    assert api(hub).inspect_job(job_id=job.id, namespace="lab").id == job.id
    assert refused(api(hub, token=False).run_job, image="a", command=["ls"], namespace="bob") == 401
    assert refused(run, hub, "exit 0", token="hf_bob") == 403
    assert refused(run, hub, "exit 0", token="hf_reader", namespace="reader") == 403
    assert refused(lambda: list(api(hub, "hf_bob").list_jobs(namespace="lab"))) == 403
    assert refused(api(hub, "hf_bob").cancel_job, job_id=job.id, namespace="lab") == 403
    assert refused(api(hub).inspect_job, job_id=job.id, namespace="alice") == 404
    assert refused(run, hub, "exit 0", flavor="no-such") == 400
    assert len(hub.jobs()) == 1


def test_faults_and_hardware(hub):
    hub.fault("POST", "/api/jobs/alice", status=500, applied=True)
    assert refused(run, hub, "exit 0") == 500
    assert len(hub.jobs()) == 1
    found = {one.name: one for one in api(hub).list_jobs_hardware()}
    assert found["cpu-basic"].accelerator is None
    assert found["t4-small"].accelerator.quantity == "1"


def test_jobs_end_with_the_server(hub):
    run(hub, "sleep 60 & sleep 60")
    job = hub.jobs()[0]
    hub.__exit__()
    assert job.process.poll() is not None
    assert job.stage == "ERROR"
