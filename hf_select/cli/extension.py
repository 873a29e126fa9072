"""`hf-select extension`: make `hf select ...` work."""

from __future__ import annotations

import click

from hf_select.cli import options
from hf_select.cli.output import Output


@click.command(
    "extension",
    epilog="Example: hf-select extension && hf select recall reviews.csv --results demo",
)
@click.option("--remove", is_flag=True, help="Take the registration away again.")
@options.common
def command(remove: bool, output: Output) -> None:
    """Register this `hf-select` with the `hf` command, so that `hf select ...` runs it.

    Writes one small file below ~/.local/share/hf/extensions; nothing is downloaded.
    """
    from hf_select.extension import FOLDER, install_extension, remove_extension

    if remove:
        removed = remove_extension()
        output.data(
            {"removed": removed, "folder": str(FOLDER.expanduser())},
            lambda o: o.line("removed" if removed else "`hf select` was not registered"),
        )
        return
    manifest = install_extension()
    output.data(
        {"manifest": str(manifest)}, lambda o: o.line(f"`hf select` works now ({manifest})")
    )
