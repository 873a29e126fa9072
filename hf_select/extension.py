"""`hf select ...`: the installed `hf-select` registered as an extension of the `hf` command.

`hf extensions install OWNER/hf-select` would make a second environment with a second torch; what is
written here points `hf` at the command that is installed already. The manifest is the one that
`huggingface_hub.cli.extensions` (1.31 to 2.x) reads.
"""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

from hf_select.errors import InputError
from hf_select.files import write_atomic

FOLDER = Path("~/.local/share/hf/extensions/hf-select")
MANIFEST = "manifest.json"


def install_extension() -> Path:
    """Register the `hf-select` beside this Python; returns the manifest.

    Raises `InputError` if there is no such command, or if another `hf-select` extension, one that
    `hf extensions install` made, is there already.
    """
    command = _command()
    manifest = FOLDER.expanduser() / MANIFEST
    if manifest.is_file() and not _is_ours(manifest):
        raise InputError(
            f"{manifest.parent} holds an extension that `hf extensions install` made",
            hint="`hf extensions remove select` first",
        )
    document = {
        "owner": "hf-select",
        "repo": "hf-select",
        "repo_id": "hf-select/hf-select",
        "short_name": "select",
        "executable_path": str(command),
        "type": "binary",
        "installed_at": datetime.now(UTC).isoformat(),
        "description": "Which pre-trained model should I fine-tune on my data?",
        "commit_sha": None,
        "registered_by": "hf-select",
    }
    write_atomic(manifest, (json.dumps(document, indent=2) + "\n").encode())
    return manifest


def remove_extension() -> bool:
    """Take the registration away; False if there was none. Leaves an extension that isn't ours."""
    manifest = FOLDER.expanduser() / MANIFEST
    if not manifest.is_file():
        return False
    if not _is_ours(manifest):
        raise InputError(
            f"{manifest.parent} holds an extension that `hf extensions install` made",
            hint="`hf extensions remove select` removes that one",
        )
    shutil.rmtree(manifest.parent)
    return True


def _command() -> Path:
    """The `hf-select` of this environment, or the one on the PATH."""
    beside = Path(sys.executable).parent / (
        "hf-select.exe" if sys.platform == "win32" else "hf-select"
    )
    found = str(beside) if beside.is_file() else shutil.which("hf-select")
    if found is None:
        raise InputError("no command `hf-select` was found", hint="pip install hf-select")
    return Path(found).absolute()


def _is_ours(manifest: Path) -> bool:
    try:
        return json.loads(manifest.read_text(encoding="utf-8")).get("registered_by") == "hf-select"
    except (OSError, ValueError, AttributeError):
        return False
