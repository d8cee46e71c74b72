"""A vocabulary as Hugging Face tokenizer files, and back: uncased WordPiece alone.

The files make ``AutoTokenizer`` split text as :class:`bert.data.vocab.Vocabulary` does, with [CLS]
and [SEP] around it. One difference is meant: "[MASK]" written out in a text is the mask there, as
fill-mask needs it, and ordinary text here, where it would be a corpus that talks about BERT.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import decoders, processors

from bert.data.text import DataError
from bert.data.vocab import CONTINUATION, MAX_WORD, SPECIALS, Vocabulary, load_vocabulary
from swe.base.files import read_json, write_json, write_text

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
            "do_lower_case": True,
            "strip_accents": None,
            "tokenize_chinese_chars": True,
            "model_max_length": longest,
        },
    )


def read_tokenizer(folder: Path) -> Vocabulary:
    """Read the vocabulary of a Hugging Face folder: vocab.txt, or the list in tokenizer.json.

    Raises DataError for another kind of tokenizer, or one that splits text otherwise (cased,
    accents kept, other special tokens), naming the file and the setting.
    """
    settings = _object(folder / "tokenizer_config.json") or {}
    for name, wanted in _NAMES.items():
        token = settings.get(name, wanted)
        token = token.get("content") if isinstance(token, dict) else token
        if token != wanted:
            raise DataError(f"{folder}: {name} = {token!r}: must be {wanted!r} for this model")
    for name, allowed in (
        ("do_lower_case", (True,)),
        ("strip_accents", (True, None)),
        ("tokenize_chinese_chars", (True,)),
    ):
        if settings.get(name, True) not in allowed:
            raise DataError(
                f"{folder}: {name} = {settings[name]!r}: only uncased BERT is known here"
            )
    file, words = folder / "tokenizer.json", folder / "vocab.txt"
    data = _object(file)
    if data is not None:
        _require_uncased_wordpiece(data, file)
    if words.exists():
        return load_vocabulary(words)
    if data is None:
        raise DataError(f"{folder}: has neither vocab.txt nor tokenizer.json")
    ids = data["model"]["vocab"]
    if sorted(ids.values()) != list(range(len(ids))):
        raise DataError(f"{file}: its ids are not 0..{len(ids) - 1}, each once")
    return Vocabulary(sorted(ids, key=ids.__getitem__), source=str(file))


def _require_uncased_wordpiece(data: dict[str, Any], file: Path) -> None:
    model, normalizer = data.get("model") or {}, data.get("normalizer") or {}
    for where, part, wanted in (
        ("model", model, {
            "type": ("WordPiece",), "unk_token": ("[UNK]",),
            "continuing_subword_prefix": (CONTINUATION,), "max_input_chars_per_word": (MAX_WORD,),
        }),
        ("normalizer", normalizer, {
            "type": ("BertNormalizer",), "lowercase": (True,), "strip_accents": (True, None),
            "handle_chinese_chars": (True,), "clean_text": (True,),
        }),
        ("pre_tokenizer", data.get("pre_tokenizer") or {}, {"type": ("BertPreTokenizer",)}),
    ):  # fmt: skip
        for name, allowed in wanted.items():
            if part.get(name) not in allowed:
                raise DataError(
                    f"{file}: {where}.{name} = {part.get(name)!r}: only uncased BERT WordPiece "
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
