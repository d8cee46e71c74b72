"""Checkpoint folders as transformers writes them: small, weights drawn, every bias off zero."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import torch

from tests.bert.study.test_begun_run import words_of

TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase)
VOCABULARY = (*TOKENS, *(f"##{letter}" for letter in string.ascii_lowercase), "the", "of")
"""59 tokens, which is no multiple of 64: an import has padding rows."""
SHAPE = {
    "vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 3,
    "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 32,
    "initializer_range": 0.3,
}  # fmt: skip
"""Two inner units to a unit, where our own sizes have four."""


def save_stock(folder: Path, kind: str, **changes: Any) -> Path:
    """Save a model of the stock class ``kind``, and its vocabulary, to a new folder."""
    import transformers

    torch.manual_seed(0)
    stock = getattr(transformers, kind)
    model = stock(stock.config_class(**{**SHAPE, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.05)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return folder


def save_text(file: Path) -> Path:
    """Save a text of made words."""
    file.write_text(words_of(0, documents=200))
    return file
