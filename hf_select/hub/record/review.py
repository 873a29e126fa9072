"""What a maintainer looks at before a contribution comes in: its files, and each of its rows."""

from __future__ import annotations

from dataclasses import replace

from hf_select.hub.client import Hub
from hf_select.hub.record.contents import SHARD, copy_files, read_record, scratch_copy
from hf_select.hub.record.pull_requests import find_pull_request, read_proposal, shards_of
from hf_select.results.markdown import escape
from hf_select.results.repo import QUARANTINE
from hf_select.results.validation import Refusal, Report, validate

SHOWN = 50
"""Refused rows that a comment lists."""
LARGEST = 256 * 2**20
"""Bytes; a stranger's shard is read into memory only if it is no bigger."""


def review_record(
    hub: Hub, repo_id: str, *, accept_new_recipes: bool = False, any_submitter: bool = False
) -> Report:
    """Judge what lies in the inbox of the dataset against its snapshot; nothing is written."""
    contents = read_record(hub, repo_id)
    with scratch_copy(hub, contents) as record:
        report = validate(
            record, accept_new_recipes=accept_new_recipes, any_submitter=any_submitter
        )
    aside = (path for path in contents.files if path.startswith(f"{QUARANTINE}/"))
    return replace(report, quarantined=tuple(p for p in sorted(aside) if p.endswith(".parquet")))


def review_pull_request(
    hub: Hub,
    repo_id: str,
    num: int,
    *,
    accept_new_recipes: bool = False,
    any_submitter: bool = False,
    comment: bool = False,
) -> Report:
    """Judge the rows that an open pull request adds, against the record on main.

    A contribution adds shards to its author's folder of the inbox. Any other file that it adds,
    and each that it changes or removes, is refused by name. With `comment` the report is posted
    below the pull request. Raises `InputError` if no pull request of that number is open.
    """
    contents = read_record(hub, repo_id)
    request = find_pull_request(hub, repo_id, num)
    proposal = read_proposal(hub, repo_id, request, main=contents.head)
    sizes = {path: info.size for path, info in proposal.contents.files.items()}
    own = shards_of(proposal.added, request.author)
    shards = [path for path in own if sizes[path] <= LARGEST]
    with scratch_copy(hub, contents) as record:
        copy_files(hub, proposal.contents, shards, record.path)
        report = validate(
            record,
            accept_new_recipes=accept_new_recipes,
            any_submitter=any_submitter,
            files=shards,
        )
    foreign = [
        Refusal(path, None, _why_not(path, request.author))
        for path in sorted(set(proposal.added) - set(own))
    ]
    foreign += [
        Refusal(path, None, f"it has {sizes[path]} bytes, but a shard has at most {LARGEST}")
        for path in own
        if path not in shards
    ]
    foreign += [
        Refusal(path, None, "a contribution only adds files, but this one is changed or removed")
        for path in proposal.touched
    ]
    report = replace(report, files=len(shards) + len(foreign), refused=(*foreign, *report.refused))
    if comment:
        hub.call(
            hub.api.comment_discussion,
            repo_id,
            num,
            as_comment(report),
            repo_type="dataset",
            what=f"pull request {num} of {repo_id}",
            retry_server_errors=False,
        )
    return report


def as_comment(report: Report) -> str:
    """The report in Markdown, for the pull request's page."""
    lines = [f"`hf-select validate`: {report.accepted} of {report.rows} rows can be used."]
    lines += [f"- {escape(refusal, longest=400)}" for refusal in report.refused[:SHOWN]]
    if len(report.refused) > SHOWN:
        lines.append(f"- and {len(report.refused) - SHOWN} more")
    return "\n".join(lines)


def _why_not(path: str, author: str) -> str:
    match = SHARD.fullmatch(path)
    if match:
        return f"it lies in the folder of {match['submitter']}, but {author} contributes it"
    return f"a contribution only adds shards: inbox/<yyyy-mm>/{author}/<sha256>.parquet"
