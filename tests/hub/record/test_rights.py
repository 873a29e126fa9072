"""Whether this token may publish is known before anything that takes long is begun."""

from __future__ import annotations

import pytest

from hf_select.errors import AccessError, HfSelectError, InputError, MissingError, SetupError
from hf_select.hub.record.rights import check_can_publish

REPO = "lab/record"


@pytest.fixture
def theirs(hub):
    """A dataset of lab's, for which alice writes and bob does not."""
    hub.add("dataset", REPO, {"README.md": "Words."})


@pytest.mark.parametrize(
    ("token", "repo", "create_pr"),
    [
        ("hf_alice", REPO, False),
        ("hf_bob", REPO, True),
        ("hf_bob", "bob/new", False),
        ("hf_alice", "lab/new", False),
    ],
)
def test_who_may(hub, client, theirs, token, repo, create_pr):
    check_can_publish(client(hub, token=token), repo, create_pr=create_pr)
    assert not hub.requests("POST")


@pytest.mark.parametrize(
    ("token", "repo", "create_pr", "kind", "words", "hint"),
    [
        ("hf_bob", REPO, False, AccessError, "bob may not write to lab/record", "--create-pr"),
        ("hf_reader", REPO, False, AccessError, "may not write to lab/record", "--create-pr"),
        ("hf_bob", "lab/new", False, AccessError, "bob can't see it", "a name of your own"),
        ("hf_bob", "bob/new", True, MissingError, "no such repository", "look at the name"),
        ("hf_alice", "record", False, InputError, "'record'", ""),
        ("hf_alice", "bob/a b", False, AccessError, "'bob/a b' is no name", "OWNER/NAME"),
        (False, REPO, False, SetupError, "a token", "hf auth login"),
    ],
)
def test_who_may_not(hub, client, theirs, token, repo, create_pr, kind, words, hint):
    with pytest.raises(kind, match=words) as error:
        check_can_publish(client(hub, token=token), repo, create_pr=create_pr)
    assert hint in error.value.hint
    assert not hub.requests("POST")


def test_a_token_that_only_reads_makes_no_dataset(hub, client):
    reader = client(hub, token="hf_reader")
    with pytest.raises(HfSelectError, match="only reads"):
        check_can_publish(reader, f"{reader.user()}/new")
