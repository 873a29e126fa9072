"""A local Hugging Face Hub over real HTTP, in memory: for tests, and for `hf-select demo --hub`.

It answers the real client (huggingface_hub 1.31 to 2.x, and datasets and transformers on top of
it): listings, repositories, commits, pull requests, large files, tokens, jobs (processes of this
machine). It can be told to fail, and it logs every request. Standard library and PyYAML only.

Where it is not as the Hub is: large files come from the address that was asked, without a redirect
and without Xet; a search is for a part of the name; a listing refuses parameters that it doesn't
serve; a .gitignore is not looked at; a disabled repository is refused to everybody; a job starts at
once, whatever its image is.

    with LocalHub() as hub:
        hub.add("model", "lab/tiny", {"config.json": "{}"})
        HfApi(endpoint=hub.endpoint).model_info("lab/tiny")
"""

from hf_select.demo.hub_server.faults import Fault, Request
from hf_select.demo.hub_server.jobs import LocalJob
from hf_select.demo.hub_server.server import LocalHub, PullRequest
from hf_select.demo.hub_server.store import Commit

__all__ = ["Commit", "Fault", "LocalHub", "LocalJob", "PullRequest", "Request"]
