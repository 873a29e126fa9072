"""What must never be written anywhere: tokens and passwords, blotted out of a text."""

from __future__ import annotations

import os
import re

VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN")
"""Where the Hub's client looks for a token in the environment."""

BLOT = "[removed]"
_PATTERNS = (
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), BLOT),
    (re.compile(r"(?i)\b(bearer\s+)[^\s'\",;]+"), rf"\1{BLOT}"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@]+@"), rf"\1{BLOT}@"),
)


def redact(text: str) -> str:
    """The text without Hub tokens, bearer credentials and `user:password@` in addresses.

    >>> redact("403 for Bearer abc at https://me:secret@hub.example/x with hf_abcdefghijkl")
    '403 for Bearer [removed] at https://[removed]@hub.example/x with [removed]'
    """
    for name in VARIABLES:
        value = os.environ.get(name, "").strip()
        if len(value) >= 6:  # a shorter one is no token, and may be a part of any word
            text = text.replace(value, BLOT)
    for pattern, blot in _PATTERNS:
        text = pattern.sub(blot, text)
    return text
