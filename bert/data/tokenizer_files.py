"""A vocabulary as Hugging Face tokenizer files, and back: WordPiece alone, uncased or cased.

The files make ``AutoTokenizer`` split text as :class:`bert.data.vocab.Vocabulary` does, with [CLS]
and [SEP] around it. One difference is meant: "[MASK]" written out in a text is the mask there, as
fill-mask needs it, and ordinary text here, where it would be a corpus that talks about BERT.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tokenizers import decoders, processors

from bert.data.text import DataError
from bert.data.vocab import (
    CONTINUATION,
    MAX_WORD,
    SPECIALS,
    Vocabulary,
    load_vocabulary,
    read_vocabulary,
    require_case,
)
from swe.base.files import read_json, write_json, write_text

_CONFIG, _FAST = "tokenizer_config.json", "tokenizer.json"
_NAMES = dict(
    zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIALS, strict=True)
)


def write_tokenizer(vocabulary: Vocabulary, folder: Path, *, longest: int) -> None:
    """Write vocab.txt, tokenizer.json and tokenizer_config.json; ``longest`` row in tokens."""
    tokenizer = vocabulary.tokenizer()
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUATION)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary.cls_id), ("[SEP]", vocabulary.sep_id)],
    )
    vocabulary.save(folder / "vocab.txt")
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True) + "\n")
    write_json(
        folder / "tokenizer_config.json",
        _NAMES
        | {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": not vocabulary.cased,
            "strip_accents": None,
            "tokenize_chinese_chars": True,
            "model_max_length": longest,
        },
    )


def longest_row(folder: Path, positions: int) -> int | None:
    """Return the tokens of the longest row that a folder's tokenizer is for, below ``positions``.

    None where it does not say, or says as many: then all positions count as trained.
    """
    longest = (_object(folder / _CONFIG) or {}).get("model_max_length")
    return longest if isinstance(longest, int) and 0 < longest < positions else None


def open_vocabulary(path: Path, *, cased: bool = False) -> Vocabulary:
    """Open a vocabulary that somebody brings along, to be used on text `cased` or not.

    A ``vocab.txt``, a ``tokenizer.json``, or the folder of a Hugging Face tokenizer.

    Raises:
        DataError: as `read_tokenizer`; the tokens are for text of the other kind; or a
            ``tokenizer.json`` beside a ``vocab.txt`` numbers the tokens otherwise.
    """
    if not path.is_dir() and path.suffix.lower() != ".json":
        vocabulary = load_vocabulary(path, cased=cased)
        beside = _object(path.with_name(_FAST)) if path.name == "vocab.txt" else None
        if beside is not None:
            _require_same(vocabulary, beside, path.with_name(_FAST))
        return vocabulary
    vocabulary = read_tokenizer(path) if path.is_dir() else _of_object(_object(path), path)
    if vocabulary.cased != cased:
        kind, remedy = (
            ("a cased", "say --cased") if vocabulary.cased else ("an uncased", "leave --cased out")
        )
        raise DataError(f"{path}: is {kind} tokenizer; {remedy}")
    return vocabulary


def read_tokenizer(folder: Path) -> Vocabulary:
    """Read the vocabulary of a Hugging Face folder: vocab.txt, or the list in tokenizer.json.

    Whether it is cased is what tokenizer_config.json and tokenizer.json say; where neither is
    there, it is not, as the stock tokenizer has it.

    Raises DataError for another kind of tokenizer, or one that splits text otherwise (accents kept
    in uncased text, other special tokens), and for files that contradict one another, naming the
    file and the setting.
    """
    settings = _object(folder / _CONFIG) or {}
    for name, wanted in _NAMES.items():
        token = settings.get(name, wanted)
        token = token.get("content") if isinstance(token, dict) else token
        if token != wanted:
            raise DataError(f"{folder}: {name} = {token!r}: must be {wanted!r} for this model")
    words, data = folder / "vocab.txt", _object(folder / _FAST)
    whole = None if data is None else _of_object(data, folder / _FAST)
    said = None if whole is None else not whole.cased
    lower = settings.get("do_lower_case", True if said is None else said)
    for name, value, allowed in (
        ("do_lower_case", lower, (True, False) if said is None else (said,)),
        ("strip_accents", settings.get("strip_accents"), (None, lower)),
        ("tokenize_chinese_chars", settings.get("tokenize_chinese_chars", True), (True,)),
    ):
        if value not in allowed:
            raise DataError(
                f"{folder}: {name} = {value!r} in {_CONFIG}: must be "
                f"{' or '.join(map(repr, allowed))}, as BERT and {_FAST} have it"
            )
    if not words.exists():
        if whole is None:
            raise DataError(f"{folder}: has neither vocab.txt nor {_FAST}")
        _require_added(whole, folder)
        return whole
    vocabulary = read_vocabulary(words, cased=not lower)
    if whole is not None and data is not None:
        _require_same(vocabulary, data, folder / _FAST)
    elif "do_lower_case" not in settings:
        try:
            require_case(vocabulary, str(words))
        except DataError:
            raise DataError(
                f"{words}: is a cased vocabulary, and no {_CONFIG} beside it says "
                '{"do_lower_case": false}; write one that does'
            ) from None
    _require_added(vocabulary, folder)
    return vocabulary


def _of_object(data: dict[str, Any] | None, file: Path) -> Vocabulary:
    """Return the vocabulary in a tokenizer.json."""
    if data is None:
        raise DataError(f"{file}: cannot be read (No such file or directory)")
    _require_wordpiece(data, file)
    ids = data["model"]["vocab"]
    if sorted(ids.values()) != list(range(len(ids))):
        raise DataError(f"{file}: its ids are not 0..{len(ids) - 1}, each once")
    cased = not data["normalizer"]["lowercase"]
    vocabulary = Vocabulary(sorted(ids, key=ids.__getitem__), source=str(file), cased=cased)
    for added in data.get("added_tokens") or []:
        _require_token(vocabulary, added.get("content"), added.get("id"), file)
    return vocabulary


def _require_same(vocabulary: Vocabulary, data: dict[str, Any], file: Path) -> None:
    """Refuse a tokenizer.json that numbers the tokens of a vocab.txt otherwise."""
    model = data.get("model")
    ids = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(ids, dict):
        return
    there = {number: token for token, number in ids.items()}
    here = dict(enumerate(vocabulary.tokens))
    for number in range(max(len(here), len(there))):
        if here.get(number) != there.get(number):
            raise DataError(
                f"{file}: token {number} is {_quoted(there.get(number))}, in vocab.txt beside it "
                f"{_quoted(here.get(number))}; remove the file that is not the model's"
            )


def _require_added(vocabulary: Vocabulary, folder: Path) -> None:
    file = folder / "added_tokens.json"
    for token, number in (_object(file) or {}).items():
        _require_token(vocabulary, token, number, file)


def _require_token(vocabulary: Vocabulary, token: object, number: object, file: Path) -> None:
    known = isinstance(number, int) and 0 <= number < vocabulary.size
    there = vocabulary.tokens[cast(int, number)] if known else None
    if there != token:
        raise DataError(
            f"{file}: the added token {token!r} has id {number}, which is {_quoted(there)} in the "
            "vocabulary; only tokens of the vocabulary are known here"
        )


def _quoted(token: str | None) -> str:
    return "none" if token is None else repr(token)


def _require_wordpiece(data: dict[str, Any], file: Path) -> None:
    model, normalizer = data.get("model") or {}, data.get("normalizer") or {}
    lower = normalizer.get("lowercase")
    for where, part, wanted in (
        ("model", model, {
            "type": ("WordPiece",), "unk_token": ("[UNK]",),
            "continuing_subword_prefix": (CONTINUATION,), "max_input_chars_per_word": (MAX_WORD,),
        }),
        ("normalizer", normalizer, {
            "type": ("BertNormalizer",), "lowercase": (True, False), "strip_accents": (lower, None),
            "handle_chinese_chars": (True,), "clean_text": (True,),
        }),
        ("pre_tokenizer", data.get("pre_tokenizer") or {}, {"type": ("BertPreTokenizer",)}),
    ):  # fmt: skip
        for name, allowed in wanted.items():
            if part.get(name) not in allowed:
                raise DataError(
                    f"{file}: {where}.{name} = {part.get(name)!r}: only BERT's WordPiece "
                    "tokenizers are known here"
                )
    if not isinstance(model.get("vocab"), dict):
        raise DataError(f"{file}: model.vocab is no table of tokens")


def _object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, None when there is no file."""
    if not path.exists():
        return None
    try:
        data = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: is no JSON object")
    return data
