"""Out to the stock classes and back in: the same logits, the same tokens, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bert.data.store import build_store
from bert.data.text import DataError
from bert.data.vocab import Vocabulary
from bert.export import main
from bert.huggingface.export import export_model, find_vocabulary, load_run
from bert.huggingface.pretrained import load_pretrained
from bert.model.config import Placement, named_config
from bert.model.encoder import Bert, build_bert
from bert.pretraining.task import MaskedLanguageTask
from swe.base.errors import ConfigError
from swe.run.loop import train
from swe.run.run_config import TrainConfig
from swe.sharing.layout import Layout
from swe.sharing.schedule import AlwaysShared, Schedule, SweFixed

LOGITS = 1e-5  # float32: two orders of the same sums
TEXTS = (
    "The cat sat on the mat, walking.",
    "CAFÉ naïve café’s 中文 x\tit's \u00a0 ok...",
    "walked walks unknowable ☃ walking-sat",
    "",
    "a" * 101 + " the",
)
CASES: list[tuple[Placement, Layout, str]] = [
    ("post", Layout.untied(6), "BertForMaskedLM"),
    ("pre", Layout.untied(6), "RobertaPreLayerNormForMaskedLM"),
    ("post", Layout.tied(6), "AlbertForMaskedLM"),
    ("post", Layout.tied(6, 2), "AlbertForMaskedLM"),
    ("post", Layout(6, 1, (3, 3)), "AlbertForMaskedLM"),
    ("pre", Layout.tied(6, 3), "RobertaPreLayerNormForMaskedLM"),  # untied copies
    ("post", Layout(6, 1, (1, 5)), "BertForMaskedLM"),  # no groups of ALBERT
]


def a_model(vocabulary: Vocabulary, placement: Placement, layout: Layout) -> Bert:
    config = replace(
        named_config("6x32", vocabulary=vocabulary.size, placement=placement, dropout=0.0),
        positions=20,
    )
    model = build_bert(config, 0)
    model.stack.retie(layout)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval()


def logits(model: Bert, inputs: Tensor) -> Tensor:
    """(B, S, V) of every position, padding rows cut off."""
    everywhere = torch.arange(inputs.shape[1]).expand(len(inputs), -1)
    with torch.no_grad():
        out = model(inputs, everywhere)[:, : model.config.vocabulary]
    return out.view(*inputs.shape, -1)


def some_inputs(vocabulary: Vocabulary) -> Tensor:
    ordinary = torch.from_numpy(vocabulary.ordinary_ids.copy())
    return ordinary[torch.randint(len(ordinary), (3, 20), generator=torch.manual_seed(3))]


@pytest.mark.parametrize(("placement", "layout", "name"), CASES, ids=str)
def test_stock_class_gives_our_logits(
    vocabulary: Vocabulary, tmp_path: Path, placement: Placement, layout: Layout, name: str
) -> None:
    """from_pretrained of our folder, then our import of what that class saves."""
    transformers = pytest.importorskip("transformers")
    model = a_model(vocabulary, placement, layout)
    export_model(model, vocabulary, tmp_path / "out")
    theirs, report = transformers.AutoModelForMaskedLM.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert type(theirs).__name__ == name
    assert not any(report.values()), "every tensor is found, and none is left over"
    inputs = some_inputs(vocabulary)
    ours = logits(model, inputs)
    with torch.no_grad():
        got = theirs.eval()(inputs).logits
    assert float(ours.abs().max()) > 1
    torch.testing.assert_close(got, ours, rtol=LOGITS, atol=LOGITS)

    theirs.save_pretrained(tmp_path / "back")
    transformers.AutoTokenizer.from_pretrained(tmp_path / "out").save_pretrained(tmp_path / "back")
    back = load_pretrained(tmp_path / "back")
    assert back.vocabulary == vocabulary
    assert (back.dropped, back.fresh) == ((), ())
    assert back.layout == (layout if name.startswith("Albert") else Layout.untied(6))
    torch.testing.assert_close(logits(back.model.eval(), inputs), ours, rtol=LOGITS, atol=LOGITS)
    state = back.model.state_dict()
    for key, tensor in model.state_dict().items():
        if layout == back.layout and key not in ("words.weight", "decoder_bias"):
            assert torch.equal(state[key], tensor), key


@pytest.mark.parametrize("placement", ["post", "pre"])
def test_their_tokenizer_is_ours(
    vocabulary: Vocabulary, tmp_path: Path, placement: Placement
) -> None:
    transformers = pytest.importorskip("transformers")
    export_model(a_model(vocabulary, placement, Layout.untied(6)), vocabulary, tmp_path / "out")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    for text, ids in zip(TEXTS, vocabulary.encode_batch(TEXTS), strict=True):
        assert theirs(text, add_special_tokens=False)["input_ids"] == ids.tolist()
        whole = theirs(text)["input_ids"]
        assert whole == [vocabulary.cls_id, *ids.tolist(), vocabulary.sep_id]
    assert theirs.mask_token_id == vocabulary.mask_id
    assert theirs.pad_token_id == vocabulary.pad_id
    assert theirs.model_max_length == 20
    assert theirs("[MASK]", add_special_tokens=False)["input_ids"] == [vocabulary.mask_id]


def exported(vocabulary: Vocabulary, folder: Path) -> Path:
    export_model(a_model(vocabulary, "post", Layout.untied(6)), vocabulary, folder)
    return folder


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("position_embedding_type", "relative_key", "must be 'absolute' for this model"),
        ("hidden_act", "gelu_new", "must be 'gelu' or 'gelu_python'"),
        ("is_decoder", "yes", "must be True or False"),
        ("tie_word_embeddings", False, "must be True"),
        ("model_type", "gpt2", "must be one of bert, roberta-prelayernorm, albert"),
        ("rotary_base", 1e4, "unknown; it may change the function"),
        ("auto_map", {"AutoModel": "x.Y"}, "code of its own, which is not run"),
        ("attention_probs_dropout_prob", 0.5, "must be hidden_dropout_prob = 0.0"),
        ("num_attention_heads", 5, "heads = 5: must be a divisor of hidden 32"),
        ("num_hidden_layers", "six", "num_hidden_layers = 'six'"),
    ],
)
def test_settings_that_change_the_function_are_refused(
    vocabulary: Vocabulary, tmp_path: Path, key: str, value: object, message: str
) -> None:
    folder = exported(vocabulary, tmp_path / "out")
    edit_json(folder / "config.json", **{key: value})
    with pytest.raises(ConfigError, match=message) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert key == "num_attention_heads" or key in str(caught.value)


def test_pickles_are_refused_unread(vocabulary: Vocabulary, tmp_path: Path) -> None:
    folder = exported(vocabulary, tmp_path / "out")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model\.bin: pickled weights can run code"):
        load_pretrained(folder)


def test_damaged_and_missing_files(vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        load_pretrained(tmp_path / "none")
    folder = exported(vocabulary, tmp_path / "out")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-7])
    with pytest.raises(DataError, match=r"model\.safetensors: cannot be read"):
        load_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"has no model\.safetensors"):
        load_pretrained(folder)
    (folder / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "../x.safetensors"}}'
    )
    with pytest.raises(DataError, match=r"'\.\./x\.safetensors' is no safetensors file beside it"):
        load_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json cannot be read"):
        load_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"has no config\.json"):
        load_pretrained(folder)


def test_old_names_heads_of_other_tasks_and_shards(vocabulary: Vocabulary, tmp_path: Path) -> None:
    """As the first BERT checkpoints are: gamma and beta, pooler, next-sentence head, buffers."""
    folder = exported(vocabulary, tmp_path / "out")
    expected = load_pretrained(folder).model.state_dict()
    tensors = load_file(folder / "model.safetensors")
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in tensors.items()
    }
    extra = {
        "bert.pooler.dense.weight": torch.zeros(32, 32),
        "cls.seq_relationship.bias": torch.zeros(2),
        "bert.embeddings.position_ids": torch.arange(20)[None],
    }
    names = sorted(tensors)
    save_file({n: tensors[n] for n in names[:9]}, folder / "model-1-of-2.safetensors")
    save_file({n: tensors[n] for n in names[9:]} | extra, folder / "model-2-of-2.safetensors")
    (folder / "model.safetensors").unlink()
    where = {n: f"model-{1 if n in names[:9] else 2}-of-2.safetensors" for n in [*names, *extra]}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    got = load_pretrained(folder)
    assert got.dropped == ("bert.pooler.dense.weight", "cls.seq_relationship.bias")
    assert all(torch.equal(expected[n], t) for n, t in got.model.state_dict().items())


def test_a_bare_encoder_needs_leave_for_a_fresh_head(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = exported(vocabulary, tmp_path / "out")

    def bare(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensor = tensors.pop(name)
            if name.startswith("bert."):
                tensors[name.removeprefix("bert.")] = tensor.half()

    edit_weights(folder, bare)
    with pytest.raises(ConfigError, match=r"no language head \(cls\.predictions"):
        load_pretrained(folder)
    got = load_pretrained(folder, head="fresh")
    assert len(got.fresh) == 5
    assert {p.dtype for p in got.model.parameters()} == {torch.float32}


def test_a_tensor_too_many_or_too_few(vocabulary: Vocabulary, tmp_path: Path) -> None:
    folder = exported(vocabulary, tmp_path / "out")
    name = "bert.encoder.layer.0.attention.self.distance_embedding.weight"
    edit_weights(folder, lambda tensors: tensors.update({name: torch.zeros(3, 4)}))
    with pytest.raises(ConfigError, match="distance_embedding"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (
            "tokenizer_config.json",
            {"do_lower_case": False},
            r"do_lower_case = False in tokenizer_config.json: must be True, as BERT and tokenizer",
        ),
        ("tokenizer_config.json", {"mask_token": "<mask>"}, "mask_token = '<mask>'"),
        ("tokenizer.json", {"model": {"type": "BPE"}}, r"model\.type = 'BPE'"),
        ("tokenizer.json", {"pre_tokenizer": None}, r"pre_tokenizer\.type = None"),
    ],
)
def test_other_tokenizers_are_refused_but_may_be_left_out(
    vocabulary: Vocabulary, tmp_path: Path, file: str, changes: dict[str, Any], message: str
) -> None:
    folder = exported(vocabulary, tmp_path / "out")
    edit_json(folder / file, **changes)
    with pytest.raises(DataError, match=message):
        load_pretrained(folder)
    assert load_pretrained(folder, tokenizer=False).vocabulary is None


def test_vocabulary_from_either_file(vocabulary: Vocabulary, tmp_path: Path) -> None:
    folder = exported(vocabulary, tmp_path / "out")
    (folder / "vocab.txt").unlink()
    assert load_pretrained(folder).vocabulary == vocabulary
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"neither vocab\.txt nor tokenizer\.json"):
        load_pretrained(folder)


def test_an_existing_folder_and_a_failed_write_lose_nothing(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = a_model(vocabulary, "post", Layout.untied(6))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(ConfigError, match="exists already; nothing was written"):
        export_model(model, vocabulary, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bert.huggingface.export.write_tokenizer", full)
    with pytest.raises(ConfigError, match=r"new: could not be written .*No space"):
        export_model(model, vocabulary, tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    with pytest.raises(DataError, match="vocabulary of 71 tokens"):
        export_model(model, Vocabulary([*vocabulary.tokens, "more"]), tmp_path / "new")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary) -> Path:
    """A study's folder: data with the vocabulary, two finished runs and one that is not."""
    root = tmp_path_factory.mktemp("study")
    text = root / "text.txt"
    text.write_text("\n\n".join(f"The cat sat on the mat {i} walking." for i in range(400)))
    store = build_store(text, vocabulary, root / "data" / "store", length=20)
    vocabulary.save(root / "data" / f"vocab-{vocabulary.sha256[:12]}.txt")
    arms: list[tuple[str, Schedule, Placement]] = [
        ("swe", SweFixed(until=2), "post"), ("tied", AlwaysShared(unit=2), "post"),
        ("pre", AlwaysShared(), "pre"),
    ]  # fmt: skip
    for name, schedule, placement in arms:
        config = replace(
            named_config("4x16", vocabulary=vocabulary.size, placement=placement), positions=20
        )
        task = MaskedLanguageTask(config, vocabulary, store, rows=2, validation_rows=2)
        train(task, TrainConfig(steps=4, schedule=schedule), root / "runs" / name)
    (root / "runs" / "pre" / "summary.json").unlink()
    return root


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("swe", "BertForMaskedLM, 4 layers"),
        ("tied", "AlbertForMaskedLM, 4 layers that share as 2x2"),
        ("pre", "RobertaPreLayerNormForMaskedLM, 4 layers: untied copies"),
    ],
)
def test_the_command_exports_a_run(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], run: str, said: str
) -> None:
    folder, out = runs / "runs" / run, tmp_path / "out"
    given = [str(folder), str(out)]
    if run == "pre":
        assert main(given) == 2
        assert "the run is not finished" in capsys.readouterr().err
        given.append("--unfinished")
    assert main(given) == 0
    assert f"{out}: {said}" in capsys.readouterr().out
    model, digest = load_run(folder, unfinished=True)
    back = load_pretrained(out)
    assert back.vocabulary is not None
    inputs = some_inputs(back.vocabulary)
    torch.testing.assert_close(
        logits(back.model.eval(), inputs), logits(model, inputs), rtol=LOGITS, atol=LOGITS
    )
    assert find_vocabulary(folder, digest) == back.vocabulary


def test_the_command_refuses_in_one_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], vocabulary: Vocabulary
) -> None:
    other = tmp_path / "other.txt"
    Vocabulary(vocabulary.tokens[::-1]).save(other)
    for given, message, status in (
        ([str(tmp_path), str(tmp_path / "out")], "is no run folder", 2),
        (
            [str(runs / "runs" / "swe"), str(tmp_path / "out"), "--vocab", str(other)],
            "sha256 differs",
            1,
        ),
        ([str(runs / "runs" / "swe"), str(tmp_path)], "exists already", 2),
    ):
        assert main(given) == status
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    with pytest.raises(DataError, match="is not beside it"):
        find_vocabulary(tmp_path, "0" * 64)
