"""Next-token inputs: every token of a row's text is predicted from those before it.

A row is [CLS], S - 2 tokens, [SEP] (bert.data.packing). Column j predicts the token in column
j + 1, for j = 0 .. S - 3: the first from [CLS] alone. The closing [SEP] stands in every row at the
same place, so its prediction would be learnt from the position and lower a loss per token of text
by a share that means nothing; it is left out. A [SEP] within the row ends a document and counts.
There is no padding, so all rows weigh the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bert.data.masking import MaskedBatch, known_ids
from bert.data.vocab import Vocabulary


def predicted_per_row(length: int) -> int:
    """Return M = length - 2, the tokens of text in a row."""
    return length - 2


def shift_rows(rows: NDArray[np.integer], vocabulary: Vocabulary) -> MaskedBatch:
    """Return `rows` (B, S) as they are, columns 0 .. M - 1 and the tokens that follow them.

    Raises:
        DataError: an id outside the vocabulary; the message names the row.
        ValueError: `rows` is not 2-D.
    """
    inputs_BS = known_ids(rows, vocabulary)
    count = predicted_per_row(inputs_BS.shape[1])
    positions_BM = np.tile(np.arange(count, dtype=np.int64), (len(inputs_BS), 1))
    return MaskedBatch(inputs_BS, positions_BM, inputs_BS[:, 1 : count + 1].copy())
