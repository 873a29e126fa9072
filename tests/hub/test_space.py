"""hf_select.hub.space: a page as a static Space, in one commit, once, over real HTTP."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import CommitOperationAdd, HfApi

from hf_select.errors import AccessError, HubError, InputError
from hf_select.hub.space import MARK, OURS, publish_page

SPACE = "lab/page"
PAGE = f"<!doctype html>{OURS.decode()}<p>one</p>"


def put(client, page=PAGE, space=SPACE, **options):
    words = {"title": "The record <b>lab/results</b>", "about": "12 models on 6 sets."}
    return publish_page(client, space, page, **{**words, **options})


def front(hub):
    card = hub.files("space", SPACE)["README.md"].decode()
    return yaml.safe_load(card.split("---")[1]), card


def test_a_page_goes_up_in_one_commit(hub, client):
    done = put(client(hub), datasets=("lab/results",))
    files = hub.files("space", SPACE)
    assert files["index.html"].decode() == PAGE
    settings, card = front(hub)
    assert settings["sdk"] == "static"
    assert settings["datasets"] == ["lab/results"]
    assert len(settings["short_description"]) <= 60
    assert "<b>" not in card.split("---")[2]
    assert MARK in card
    assert done.created
    assert set(done.files) == {"index.html", "README.md"}
    assert done.url == f"{hub.endpoint}/spaces/{SPACE}"
    assert done.commit == hub.commits("space", SPACE)[0].sha
    assert len(hub.commits("space", SPACE)) == 2  # the first one is the Hub's


def test_the_same_page_again_sends_nothing(hub, client):
    first = put(client(hub))
    before = len(hub.commits("space", SPACE))
    again = put(client(hub))
    assert again.files == ()
    assert not again.created
    assert again.commit == first.commit
    assert len(hub.commits("space", SPACE)) == before
    other = put(client(hub), PAGE.replace("one", "two"))
    assert other.files == ("index.html",)
    assert len(hub.commits("space", SPACE)) == before + 1


@pytest.mark.parametrize("applied", [True, False])
def test_after_an_error_nothing_is_sent_twice(applied, hub, client):
    put(client(hub))
    before = len(hub.commits("space", SPACE))
    hub.fault("POST", "*/commit/*", status=500, applied=applied)
    put(client(hub), PAGE.replace("one", "two"))
    assert len(hub.commits("space", SPACE)) == before + 1
    assert b"two" in hub.files("space", SPACE)["index.html"]


def test_what_comes_in_between_is_not_overwritten(hub, client):
    put(client(hub))
    mine = client(hub)
    send, others = mine.api.create_commit, []

    def after_another(*args, **kwargs):
        if not others:
            change = CommitOperationAdd("index.html", b"<p>my own page</p>")
            others.append(
                HfApi(endpoint=hub.endpoint, token="hf_alice").create_commit(
                    SPACE, [change], commit_message="mine", repo_type="space"
                )
            )
        return send(*args, **kwargs)

    mine.api.create_commit = after_another
    with pytest.raises(InputError, match=r"index\.html"):
        put(mine, PAGE.replace("one", "two"))
    assert hub.files("space", SPACE)["index.html"] == b"<p>my own page</p>"


def test_a_run_that_ended_after_making_the_space_goes_on(hub, client):
    hub.fault("POST", "*/commit/*", status=400)
    with pytest.raises(HubError):
        put(client(hub))
    assert put(client(hub)).files == ("index.html", "README.md")


def test_the_template_of_a_new_space_gives_way(hub, client):
    api = client(hub).api
    api.create_repo(SPACE, repo_type="space", space_sdk="static")
    assert b"<h1>Welcome to your static Space!</h1>" in hub.files("space", SPACE)["index.html"]
    done = put(client(hub))
    assert set(done.files) == {"index.html", "README.md"}
    assert not done.created


@pytest.mark.parametrize(
    ("files", "word"),
    [
        (
            {"index.html": b"<p>my own page</p>"},
            "index.html",
        ),
        ({"index.html": b"<p>How I made a static Space of my poems</p>"}, "index.html"),
        ({"app.py": b"", "README.md": b"---\nsdk: gradio\n---\n"}, "app.py"),
        ({"README.md": b"---\nsdk: gradio\n---\n"}, "gradio"),
    ],
)
def test_what_somebody_else_has_put_there_stays(files, word, hub, client):
    hub.add("space", SPACE, files=files)
    before = hub.files("space", SPACE)
    with pytest.raises(InputError, match=word):
        put(client(hub))
    assert hub.files("space", SPACE) == before


def test_a_card_that_was_edited_by_hand_stays(hub, client):
    own = b"---\ntitle: Ours\nsdk: static\n---\n\nAbout our record.\n"
    hub.add("space", SPACE, files={"README.md": own})
    done = put(client(hub))
    assert done.files == ("index.html",)
    assert "edited by hand" in done.notes[0]
    assert hub.files("space", SPACE)["README.md"] == own


def test_names_and_rights(hub, client):
    with pytest.raises(InputError, match="OWNER/NAME"):
        put(client(hub), space="page")
    with pytest.raises(AccessError, match="can't be made"):
        put(client(hub), space="carol/page")
    with pytest.raises(InputError, match="token"):
        put(client(hub), PAGE + "hf_" + "a" * 34)
    assert not hub.requests("POST", "*/commit/*")
