"""WordPiece vocabularies, uncased or cased: training one that repeats exactly, reading BERT's.

The trainer of the ``tokenizers`` library alone does not repeat: it numbers the continuation letters
("##e") in the order of a hash table seeded at random, and breaks ties between equally frequent
pairs by these numbers, so two runs on one text give different ids and, at the tail, different
tokens. Here words and letters are counted first, and every single letter, plain and continuing, is
handed over in sorted order as a reserved token. Then all numbers are fixed before the first tie.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from bert.data.text import DataError
from swe.base.files import atomic_open

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"
MAX_WORD = 100  # characters; BERT's limit, longer words become [UNK]
_BLANK = re.compile(r"[ \t\n\r]")
_UNUSED = re.compile(r"\[unused\d+\]")
_FEED = 1 << 16  # characters handed to the trainer at a time


class Vocabulary:
    """An ordered list of WordPiece tokens and the encoder that goes with it.

    Text is treated as in uncased BERT: lower case, accents stripped, split at white space and
    punctuation, then greedy longest match; `cased` keeps case and accents, as in cased BERT.
    Special tokens written out in a text ("[MASK]") are ordinary text here. Immutable; equal when
    the tokens and `cased` are.

    Attributes:
        tokens: the tokens, index = id.
        cased: whether text keeps its case.
        size: number of tokens V.
        padded_size: V rounded up to a multiple of 64, for fast matrix products.
        pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special tokens.
        is_continuation: (V,) bool, tokens that continue a word ("##ing").
        is_ordinary: (V,) bool, all but the specials and BERT's "[unusedN]" fillers.
        ordinary_ids: sorted int64 ids of the ordinary tokens.
        dtype: uint16, or uint32 when V > 65536; of encoded and stored tokens.
        sha256: hex digest of the file that `save` writes; cased, with the word behind it: the
            same tokens make other rows of a text then.

    Raises:
        DataError: no tokens; an empty token or one with a blank in it (other Unicode white space
            is let be: it never comes up in a text, and taking it out would shift all ids behind
            it); a token twice; or a special token missing.
    """

    def __init__(
        self, tokens: Sequence[str], *, source: str = "vocabulary", cased: bool = False
    ) -> None:
        self.tokens, self.cased = tuple(tokens), cased
        if not self.tokens:
            raise DataError(f"{source}: the vocabulary is empty")
        for index, token in enumerate(self.tokens):
            if not token or _BLANK.search(token):
                raise DataError(f"{source}: token {index} is empty or has white space: {token!r}")
        ids = {token: index for index, token in enumerate(self.tokens)}
        if len(ids) < len(self.tokens):
            twice, _ = Counter(self.tokens).most_common(1)[0]
            first, second = self.tokens.index(twice), ids[twice]
            raise DataError(
                f"{source}: the token {twice!r} appears more than once (ids {first} and {second})"
            )
        if missing := [token for token in SPECIALS if token not in ids]:
            raise DataError(f"{source}: the vocabulary lacks {', '.join(missing)}")
        self.size = len(self.tokens)
        self.padded_size = -(-self.size // 64) * 64
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            ids[token] for token in SPECIALS
        )
        self.dtype: np.dtype[np.unsignedinteger] = np.dtype(
            np.uint16 if self.size <= 1 << 16 else np.uint32
        )
        self.is_continuation = _frozen(
            np.array([token.startswith(CONTINUATION) and len(token) > 2 for token in self.tokens])
        )
        self.is_ordinary = _frozen(
            np.array(
                [token not in SPECIALS and not _UNUSED.fullmatch(token) for token in self.tokens]
            )
        )
        self.ordinary_ids: NDArray[np.int64] = np.flatnonzero(self.is_ordinary)
        self.ordinary_ids.setflags(write=False)
        self.sha256 = hashlib.sha256(self._file_bytes() + b"cased" * cased).hexdigest()

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Vocabulary) and self.tokens == other.tokens
        return same and self.cased == cast(Vocabulary, other).cased

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        case = ", cased=True" * self.cased
        return f"Vocabulary(size={self.size}{case}, sha256={self.sha256[:12]}...)"

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.unsignedinteger]]:
        """Return one 1-D array of ids per text, without special tokens but [UNK]."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=self.dtype) for encoding in encoded]

    def encode_with_offsets(
        self, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]]:
        """Return, for each text, its ids (n,) and the character range of each id in it, (n, 2)."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            (
                np.array(encoding.ids, dtype=self.dtype),
                np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2),
            )
            for encoding in encoded
        ]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a BERT ``vocab.txt``, one token per line; an existing file is replaced whole."""
        with atomic_open(Path(path)) as out:
            out.write(self._file_bytes())

    def tokenizer(self) -> Tokenizer:
        """Return a fresh `tokenizers.Tokenizer` that encodes as `encode_batch` does."""
        return Tokenizer.from_str(self._tokenizer.to_str())

    def _file_bytes(self) -> bytes:
        return "".join(f"{token}\n" for token in self.tokens).encode()

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer(
            models.WordPiece(
                {token: index for index, token in enumerate(self.tokens)},
                unk_token="[UNK]",
                max_input_chars_per_word=MAX_WORD,
            )
        )
        tokenizer.normalizer = _normalizer(self.cased)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return tokenizer


def load_vocabulary(path: str | os.PathLike[str], *, cased: bool = False) -> Vocabulary:
    """Read a BERT ``vocab.txt`` that somebody brings along, to be used on text `cased` or not.

    Raises:
        DataError: as `read_vocabulary`; or the tokens are of the other kind, and half of them would
            never come up.
    """
    vocabulary = read_vocabulary(path, cased=cased)
    require_case(vocabulary, str(path))
    return vocabulary


def require_case(vocabulary: Vocabulary, source: str) -> None:
    """Refuse capital letters in an uncased vocabulary, and a cased one without any (DataError).

    One in a hundred is let pass: an uncased vocabulary may hold a stray letter or symbol.
    """
    capital = [
        token
        for token, ordinary in zip(vocabulary.tokens, vocabulary.is_ordinary, strict=True)
        if ordinary and any(letter.isupper() for letter in token)
    ]
    if not vocabulary.cased and 100 * len(capital) > len(vocabulary.ordinary_ids):
        raise DataError(
            f"{source}: is a cased vocabulary ({len(capital)} tokens with capital letters, such as "
            f"{capital[-1]!r}), and text is read uncased; --cased reads it as it stands"
        )
    if vocabulary.cased and not capital:
        raise DataError(
            f"{source}: is an uncased vocabulary (no token has a capital letter); leave --cased out"
        )


def read_vocabulary(path: str | os.PathLike[str], *, cased: bool = False) -> Vocabulary:
    """Read a BERT ``vocab.txt``: UTF-8, one token per line, line number = id.

    A byte-order mark is no part of the first token; blank lines at the end, with which some
    vocabularies are padded to a round number, are no tokens.

    Raises:
        DataError: the file is missing, no UTF-8, or no complete vocabulary (see `Vocabulary`).
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text at byte {error.start}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    # Not splitlines(): BERT's vocabularies may hold other Unicode line ends as tokens.
    tokens = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    while tokens and not tokens[-1]:
        tokens.pop()
    return Vocabulary(tokens, source=str(path), cased=cased)


def train_vocabulary(
    documents: Iterable[str],
    size: int,
    *,
    alphabet: int = 256,
    min_count: int = 2,
    cased: bool = False,
) -> Vocabulary:
    """Train a WordPiece vocabulary of at most `size` tokens; the same text, the same ids.

    Specials come first, then the letters, then the letters as continuations, then the merges in
    the order learnt. The `alphabet` most frequent characters are kept (ties by code point), and
    where those leave no room for a merge, as many as fill half of the vocabulary; words with any
    other are left out, for they encode to [UNK] anyway. Pairs seen fewer than `min_count` times are
    not merged, hence a small text may give fewer than `size` tokens. Memory grows with the number
    of distinct words, not with the text.

    Raises:
        DataError: no word in the documents, or no room in `size` for a letter of them.
    """
    words = _count_words(documents, cased)
    letters: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            letters[letter] += count
    by_frequency = sorted(letters, key=lambda letter: (-letters[letter], letter))
    words = _spelt_with(by_frequency[:alphabet], words)
    if not words:
        raise DataError("vocabulary: there is no word in the documents")
    reserved = _reserved(words)
    if size < len(reserved):
        half = max(0, (size // 2 - len(SPECIALS)) // 2)  # each of them plain and continuing
        words = _spelt_with(by_frequency[:half], words)
        if not words:
            raise DataError(
                f"vocabulary: {size} tokens are too few, specials and letters take {len(reserved)}"
            )
        reserved = _reserved(words)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_count,
        special_tokens=reserved,
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    ids = tokenizer.get_vocab()
    return Vocabulary(sorted(ids, key=ids.__getitem__), source="trained vocabulary", cased=cased)


def _normalizer(cased: bool) -> normalizers.Normalizer:
    return normalizers.BertNormalizer(lowercase=not cased, strip_accents=not cased)


def _count_words(documents: Iterable[str], cased: bool) -> dict[str, int]:
    normalizer, splitter = _normalizer(cased), pre_tokenizers.BertPreTokenizer()
    chunks: Counter[str] = Counter()
    for document in documents:
        chunks.update(normalizer.normalize_str(document).split())
    # Splitting at punctuation is the slow part, so once per distinct chunk.
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in splitter.pre_tokenize_str(chunk):
            if len(word) <= MAX_WORD:
                words[word] += count
    return words


def _spelt_with(letters: Iterable[str], words: dict[str, int]) -> dict[str, int]:
    kept = set(letters)
    return {word: count for word, count in sorted(words.items()) if kept.issuperset(word)}


def _reserved(words: Iterable[str]) -> list[str]:
    """Return the tokens that come before any merge."""
    plain = sorted({letter for word in words for letter in word})
    continuing = sorted({letter for word in words for letter in word[1:]})
    return [*SPECIALS, *plain, *(CONTINUATION + letter for letter in continuing)]


def _repeated(words: dict[str, int]) -> Iterator[str]:
    """Spell out each word as often as it was counted: the trainer takes text, not counts."""
    for word, count in words.items():
        at_once = max(1, _FEED // (len(word) + 1))
        while count > 0:
            yield f"{word} " * min(count, at_once)
            count -= at_once


def _frozen(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    mask.setflags(write=False)
    return mask
