"""One commit, exactly once, over real HTTP: what arrives when the Hub fails at the worst moment."""

import pytest

from hf_select.errors import AccessError, ConflictError, HubError
from hf_select.hub.commit import TRIES, Change, Landed, commit

REPO = "alice/record"


@pytest.fixture(autouse=True)
def _repo(hub):
    hub.add("dataset", REPO, {"old.txt": "old"})


def adding(client, name="new.txt", data=b"new", **options):
    """A plan that adds one file, until it is there."""

    def plan():
        plan.asked += 1
        head = client.head_commit(REPO, repo_type="dataset")
        tree = client.tree(REPO, repo_type="dataset", revision=head)
        if name in {info.path for info in tree}:
            return None
        return Change(head, f"Add {name}", {name: data}, **options)

    plan.asked = 0
    return plan


def titles(hub):
    return [made.title for made in hub.commits("dataset", REPO)][:-1]  # without the first one


def test_a_change_is_committed_and_confirmed(hub, client):
    alice = client(hub)
    landed = commit(alice, REPO, adding(alice))
    assert landed == Landed(hub.commits("dataset", REPO)[0].sha, None)
    assert hub.files("dataset", REPO)["new.txt"] == b"new"


def test_nothing_to_do_sends_nothing(hub, client):
    alice = client(hub)
    assert commit(alice, REPO, adding(alice, "old.txt")) is None
    assert not hub.requests("POST")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "applied": True},
        {"status": 503, "applied": True},
        {"cut": 0, "applied": True},
    ],
    ids=["500", "503", "reset"],
)
def test_26_an_error_after_the_commit_was_applied_makes_no_second_one(hub, client, fault):
    hub.fault("POST", "*/commit/*", **fault)
    alice = client(hub)
    assert commit(alice, REPO, adding(alice)) == Landed()
    assert titles(hub) == ["Add new.txt"]
    assert len(hub.requests("POST", "*/commit/*")) == 1


def test_an_error_before_it_was_applied_is_followed_by_a_second_try(hub, client):
    hub.fault("POST", "*/commit/*", times=3, status=503)
    alice = client(hub)
    plan = adding(alice)
    assert commit(alice, REPO, plan) is not None
    assert titles(hub) == ["Add new.txt"]
    assert plan.asked == 4  # the tree was read before each
    assert len(client.slept) == 3


def test_a_commit_that_is_applied_while_the_second_is_on_its_way_is_not_doubled(
    hub, client, monkeypatch
):
    hub.fault("POST", "*/commit/*", status=504)  # the Hub goes on with it behind our back ...
    alice = client(hub)
    plan = adding(alice)
    preupload = alice.api.preupload_lfs_files

    def late(*args, **options):
        preupload(*args, **options)
        if plan.asked == 2:  # ... and is done when all that we look at has been looked at
            hub.push("dataset", REPO, {"new.txt": b"new"}, message="Add new.txt")

    monkeypatch.setattr(alice.api, "preupload_lfs_files", late)
    assert commit(alice, REPO, plan) == Landed()
    assert titles(hub) == ["Add new.txt"]
    assert [r.status for r in hub.requests("POST", "*/commit/*")] == [504, 412]


@pytest.mark.parametrize("status", [409, 412])
def test_25_somebody_else_was_first_so_the_plan_is_made_anew(hub, client, status):
    alice = client(hub)
    plan = adding(alice, pinned=True)
    if status != 412:  # which is what our Hub answers by itself
        hub.fault("POST", "*/commit/*", status=status)

    def overtaken():
        change = plan()
        if plan.asked == 1:
            hub.push("dataset", REPO, {"theirs.txt": "theirs"}, message="Theirs")
        return change

    assert commit(alice, REPO, overtaken).commit
    assert titles(hub) == ["Add new.txt", "Theirs"]
    assert plan.asked == 2


def test_a_change_that_is_not_pinned_lands_on_top_of_others(hub, client):
    alice = client(hub)
    plan = adding(alice)

    def overtaken():
        change = plan()
        hub.push("dataset", REPO, {"theirs.txt": "theirs"}, message="Theirs")
        return change

    assert commit(alice, REPO, overtaken).commit
    assert plan.asked == 1
    assert {"new.txt", "theirs.txt"} <= set(hub.files("dataset", REPO))


def test_a_pull_request_that_was_opened_though_the_answer_was_a_500_is_found_by_the_plan(
    hub, client
):
    hub.fault("POST", "*/commit/*", status=500, applied=True)
    bob = client(hub, token="hf_bob")
    plan = adding(bob, pull_request=True)

    def once():
        return None if hub.pull_requests("dataset", REPO) else plan()

    assert commit(bob, REPO, once) == Landed()
    assert len(hub.pull_requests("dataset", REPO)) == 1


def test_it_gives_up_after_a_bounded_number_of_tries_and_growing_waits(hub, client):
    fault = hub.fault("POST", "*/commit/*", times=1000, status=500)
    alice = client(hub, seed=0)
    with pytest.raises(HubError, match="500"):
        commit(alice, REPO, adding(alice))
    assert fault.struck == TRIES
    assert client.slept[-1] > 10 * client.slept[0]
    assert titles(hub) == []


def test_a_conflict_without_end_says_that_the_same_command_goes_on(hub, client):
    hub.fault("POST", "*/commit/*", times=1000, status=412)
    alice = client(hub)
    with pytest.raises(ConflictError) as raised:
        commit(alice, REPO, adding(alice), tries=3)
    assert raised.value.hint
    assert raised.value.exit_code == 1


def test_no_rights_and_nonsense_are_not_tried_again(hub, client):
    bob = client(hub, token="hf_bob")
    with pytest.raises(AccessError, match="alice/record") as raised:
        commit(bob, REPO, adding(bob))
    assert "--create-pr" in raised.value.hint
    refused = hub.fault("POST", "*/commit/*", times=1000, status=400, message="bad commit")
    alice = client(hub)
    with pytest.raises(HubError, match="bad commit"):
        commit(alice, REPO, adding(alice))
    assert refused.struck == 1
    assert client.slept == []


def test_a_rate_limit_is_waited_for(hub, client):
    hub.fault("POST", "*/commit/*", status=429, headers={"Retry-After": "7"})
    alice = client(hub)
    plan = adding(alice)
    assert commit(alice, REPO, plan).commit
    assert plan.asked == 1  # a 429 has surely done nothing
    assert 7 <= client.slept[0] <= 9


def test_a_hub_that_asks_for_an_hour_is_not_asked_again(hub, client):
    an_hour = {"Retry-After": "3600"}  # as where the quota of commits is used up
    fault = hub.fault("POST", "*/commit/*", times=1000, status=429, headers=an_hour)
    alice = client(hub)
    with pytest.raises(HubError, match="asks to wait 3600 s"):
        commit(alice, REPO, adding(alice))
    assert fault.struck == 1
    assert client.slept == []


@pytest.mark.parametrize("status", [409, 503])
def test_no_second_try_comes_before_the_hub_says_so(hub, client, status):
    hub.fault("POST", "*/commit/*", status=status, headers={"Retry-After": "40"})
    alice = client(hub)
    assert commit(alice, REPO, adding(alice)).commit
    assert [wait >= 40 for wait in client.slept] == [True]
    hub.fault("POST", "*/commit/*", times=1000, status=status, headers={"Retry-After": "3600"})
    with pytest.raises(HubError):
        commit(alice, REPO, adding(alice, "more.txt"))
    assert len(client.slept) == 1


class XetAuthenticationError(PermissionError):
    """As hf_xet names it, with the same base."""

    __module__ = "hf_xet"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("Data processing error: CAS service error, hf_alice"), "Data processing"),
        (XetAuthenticationError("401 Unauthorized for hf_alice"), "401 Unauthorized"),
    ],
)
def test_an_upload_that_breaks_is_tried_again(hub, client, monkeypatch, error, words):
    alice = client(hub)
    upload, broken = alice.api.preupload_lfs_files, [error] * 2

    def breaking(*args, **options):
        if broken:
            raise broken.pop()
        upload(*args, **options)

    monkeypatch.setattr(alice.api, "preupload_lfs_files", breaking)
    plan = adding(alice)
    assert commit(alice, REPO, plan).commit
    assert plan.asked == 3
    broken += [error] * 9
    with pytest.raises(HubError, match=f"{REPO}.*{words}") as raised:
        commit(alice, REPO, adding(alice, "more.txt"), tries=2)
    assert raised.value.exit_code == 1
    assert raised.value.hint
    assert "hf_alice" not in f"{raised.value} {raised.value.__cause__}"


def test_what_the_client_refuses_to_send_is_told_in_a_line(hub, client):
    hub.fault("POST", "/api/validate-yaml", status=400)
    alice = client(hub)
    with pytest.raises(HubError, match=f"{REPO}.*Invalid metadata in README.md"):
        commit(alice, REPO, adding(alice, "README.md", b"---\nlicense: none\n---\n"))
    assert len(hub.requests("POST")) == 1
    assert client.slept == []


def test_files_are_deleted_one_by_one_and_by_folder(hub, client):
    hub.push("dataset", REPO, {"a/1": "1", "a/2": "2", "b/1": "1"})
    alice = client(hub)
    head = alice.head_commit(REPO, repo_type="dataset")
    change = Change(head, "Clear", delete=("a/", "b/1"), pinned=True)
    assert commit(alice, REPO, lambda: change)
    assert set(hub.files("dataset", REPO)) == {".gitattributes", "old.txt"}


def test_30_no_token_gets_into_a_commit(hub, client, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_alice")
    alice = client(hub)
    head = alice.head_commit(REPO, repo_type="dataset")
    texts = {"message": "with hf_alice", "description": "Bearer hf_alice"}
    commit(alice, REPO, lambda: Change(head, add={"f": b"1"}, **texts))
    made = hub.commits("dataset", REPO)[0]
    assert "hf_alice" not in repr(made)
