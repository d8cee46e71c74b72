from __future__ import annotations

import string

import pytest

from bert.data.vocab import SPECIALS, Vocabulary

WORDS = ("the", "cat", "sat", "on", "mat", "walk", "##ing", "##ed", "café", "[unused0]")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """Specials not at the front and not adjacent, every letter, a few words and endings."""
    letters = list(string.ascii_lowercase + ".,'")
    pieces = [f"##{letter}" for letter in string.ascii_lowercase]
    tokens = ["[PAD]", *letters, *SPECIALS[1:3], *pieces, *SPECIALS[3:], *WORDS]
    return Vocabulary(tokens)
