"""Export of a trained Bert as a folder that the stock transformers classes open, without our code.

Untied Post-LN becomes ``BertForMaskedLM``, untied Pre-LN ``RobertaPreLayerNormForMaskedLM``, tied
Post-LN ``AlbertForMaskedLM``. No stock class holds a tied Pre-LN stack, nor groups (SWE-M) that
ALBERT does not make: these become untied copies of the same function, and the caller is told.
A causal model becomes ``BertLMHeadModel`` (Post-LN) or ``RobertaPreLayerNormForCausalLM`` (Pre-LN),
whose ``generate`` works, and tied ones untied copies, for ALBERT has no decoder. The
padding rows of the vocabulary are cut off, so a softmax there lacks their (low) probability.
``python -m bert.export RUN OUT`` exports a run folder; ``bert.huggingface.pretrained`` is the way
back.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from bert.data.text import DataError
from bert.data.tokenizer_files import write_tokenizer
from bert.data.vocab import Vocabulary, read_vocabulary
from bert.huggingface.config import class_name, to_config_json
from bert.huggingface.convert import to_hugging_face
from bert.huggingface.families import Family, family_of, pad_of
from bert.huggingface.pretrained import WEIGHTS
from bert.model.config import BertConfig
from bert.model.encoder import Bert
from swe.base.config import from_dict
from swe.base.errors import CheckpointError, ConfigError
from swe.base.files import flush, read_json, write_json
from swe.run import checkpoint
from swe.sharing.layout import Layout


def export_model(
    model: Bert,
    vocabulary: Vocabulary,
    folder: Path | str,
    *,
    untie: bool = False,
    length: int | None = None,
) -> Family:
    """Write model.safetensors, config.json and tokenizer files; returns the family.

    ``folder`` appears whole or not at all and must not exist, or be empty. ``untie`` writes untied
    copies where ALBERT would do. ``length``: tokens of a row in pre-training, which the tokenizer
    then gives as the longest (``model_max_length``), for the positions behind are untrained. Tokens
    of the model and of ``vocabulary`` must be equally many.
    Raises ConfigError or DataError.
    """
    folder, config, layout = Path(folder), model.config, model.stack.layout
    if vocabulary.size != config.vocabulary:
        raise DataError(
            f"vocabulary of {vocabulary.size} tokens, the model has {config.vocabulary}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists already; nothing was written")
    family = None if untie else family_of(config, layout)
    if family is None:
        family = family_of(config, layout.untie())
        assert family is not None
    shared = layout if family == "albert" else layout.untie()
    # Copies of tied blocks are made by name from the tied state: the target lists every layer.
    pad_id = pad_of(config, vocabulary.pad_id)
    weights = to_hugging_face(model.state_dict(), config, layout, family, pad_id=pad_id)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        save_file(
            {name: tensor.float().cpu() for name, tensor in weights.items()},
            partial / WEIGHTS,
            metadata={"format": "pt"},
        )
        write_json(
            partial / "config.json",
            to_config_json(
                config,
                shared,
                family,
                pad_id=pad_id,
                cls_id=vocabulary.cls_id,
                sep_id=vocabulary.sep_id,
            ),
        )
        if config.causal:
            tokens = {"bos": vocabulary.cls_id, "eos": vocabulary.sep_id, "pad": vocabulary.pad_id}
            write_json(
                partial / "generation_config.json",
                {f"{name}_token_id": number for name, number in tokens.items()},
            )
        write_tokenizer(vocabulary, partial, longest=length or config.positions)
        flush(partial / WEIGHTS)  # the others were written through swe.base.files
        flush(partial)
        os.replace(partial, folder)
        flush(folder.parent)
    except OSError as error:
        raise ConfigError(f"{folder}: could not be written ({error})") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return family


def describe(model: Bert, family: Family) -> str:
    """Say in one line what was written, and what the class could not express."""
    layout = model.stack.layout
    text = f"{class_name(family, model.config.causal)}, {model.config.layers} layers"
    if family == "albert":
        return f"{text} that share as {layout}"
    if not layout.is_untied:
        return (
            f"{text}: untied copies (no stock class, or not the one asked for, shares as {layout})"
        )
    return text


def load_run(run: Path | str, *, unfinished: bool = False) -> tuple[Bert, str]:
    """Return the model of a run folder's newest checkpoint, and its vocabulary's sha256.

    Raises ConfigError for a folder that is no run of a language model, or is not finished
    (unless ``unfinished``), or has a checkpoint of one of its stages, which is another model;
    CheckpointError when no checkpoint can be read.
    """
    run = Path(run)
    try:
        stored: Any = read_json(run / "config.json")
        task, stages = stored["task"], len(stored["train"].get("stages", ()))
        config = from_dict(BertConfig, task["model"], where="model.")
        digest = str(task["data"]["vocabulary_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{run}: is no run folder of a language model ({error})") from None
    if not unfinished and not (run / "summary.json").exists():
        raise ConfigError(f"{run}: the run is not finished; --unfinished takes its last checkpoint")
    found = checkpoint.latest(run / "checkpoints", lambda reason: print(reason, file=sys.stderr))
    if found is None:
        raise ConfigError(f"{run}: has no checkpoint")
    try:
        layout = Layout.from_json(found.state["swe"]["schedule"]["layout"])
        over = found.state["stages"]["over"] if stages else 0
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{found.path}: does not say which layers share ({error})") from None
    if over < stages:
        raise ConfigError(
            f"{run}: its newest checkpoint is of stage {over + 1} of {stages}, which is another "
            "model than it ends with; the run's own command takes it there"
        )
    model = Bert(config)
    model.stack.retie(layout)
    found.load_weights(model)
    return model.eval(), digest


def trained_length(run: Path | str) -> int | None:
    """Return the tokens of a row in a run's pre-training; None where its folder does not say."""
    try:
        length = read_json(Path(run) / "config.json")["task"]["data"]["length"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return length if isinstance(length, int) else None


def find_vocabulary(run: Path | str, digest: str, given: Path | None = None) -> Vocabulary:
    """Return the vocabulary with that sha256: the file given, or the study's, beside the run.

    Searched are the run folder, the five above it, and ``data`` in each, as the studies lay them
    out (a table's: results/bert/tables/FOLDER/runs/RUN). Raises DataError when there is none, or
    the file given is another vocabulary.
    """
    if given is not None:
        known = _with_digest(given, digest)
        if known is None:
            raise DataError(f"{given}: is not the vocabulary of {run} (sha256 differs)")
        return known
    run = Path(run).resolve()
    for folder in [run, *list(run.parents)[:5]]:
        for place in (folder, folder / "data"):
            for name in ("vocab.txt", f"vocab-{digest[:12]}.txt"):
                if (place / name).is_file() and (known := _with_digest(place / name, digest)):
                    return known
    raise DataError(f"{run}: vocab-{digest[:12]}.txt is not beside it; name it with --vocab")


def _with_digest(file: Path, digest: str) -> Vocabulary | None:
    """Return the vocabulary in a file, uncased or cased, whichever has that sha256; or None."""
    both = (read_vocabulary(file, cased=cased) for cased in (False, True))
    return next((one for one in both if one.sha256 == digest), None)
