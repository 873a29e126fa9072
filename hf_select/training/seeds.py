"""What a seed may be, known before anything heavy is loaded."""

from __future__ import annotations

from hf_select.errors import InputError

MAX_SEED = 2**32 - 1
"""NumPy's global generator takes no more; Python's and torch's would."""


def check_seed(seed: int) -> None:
    """Refuse what not every random generator can be seeded with, by `InputError`."""
    if not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed is {seed!r}, but must be a whole number from 0 to {MAX_SEED}")
