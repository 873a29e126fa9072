"""`hf-select push`: the winner to the Hub."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command("push", epilog="Example: hf-select push chosen --to me/my-classifier --private")
@click.argument("out", metavar="OUT")
@click.option("--to", required=True, metavar="OWNER/NAME", help="Model repository on the Hub.")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made.")
@click.option("--create-pr", is_flag=True, help="Only propose it, by a pull request.")
@click.option("--replace", is_flag=True, help="Put it in the place of all that is there.")
@click.option("--license", metavar="NAME", help="Where the base model's is unknown, or allows it.")
@options.common
def command(
    out: str,
    to: str,
    private: bool,
    create_pr: bool,
    replace: bool,
    license: str | None,
    output: Output,
) -> None:
    """Push the winner in OUT, a finished selection's folder, to the Hub.

    Its weights, its tokenizer or image processor, a model card, selection.json and report.html go
    in one commit. Pushed again, nothing is sent.
    """
    from hf_select import pipeline

    pushed = pipeline.push(
        out, to, private=private, create_pr=create_pr, replace=replace, license=license
    )
    document = {
        "repo": pushed.repo_id,
        "url": pushed.url,
        "revision": pushed.commit,
        "pull_request": pushed.pull_request,
        "created": pushed.created,
        "files": list(pushed.files),
        "deleted": list(pushed.deleted),
        "bytes": pushed.bytes_sent,
        "notes": list(pushed.notes),
    }
    for note in pushed.notes:
        output.message(note)

    def show(o: Output) -> None:
        where = f"commit {pushed.commit[:8]}" if pushed.commit else "a pull request"
        if pushed.files or pushed.deleted:
            removed = f", {len(pushed.deleted)} removed" if pushed.deleted else ""
            size = f"{pushed.bytes_sent / 1e6:.1f} MB"
            o.line(f"{len(pushed.files)} files ({size}){removed}, in {where}", style="bold")
        else:
            o.line(f"Nothing to send: {where} has it all already", style="bold")
        o.line(pushed.url)

    output.data(document, show)
