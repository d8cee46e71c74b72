"""Every method of the comparison from a folder as transformers writes it, by the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bert.pretrain import main
from tests.bert.study.stock_folders import save_stock, save_text
from tests.bert.study.test_starting import config, first_loss

pytest.importorskip("transformers")

LINE = [
    "--scale", "smoke", "--device", "cpu", "--jobs", "1", "--steps", "4",
    "--set", "length=16", "rows=4", "validation_rows=8", "dropout=0.0",
]  # fmt: skip
BASELINE = ("--arm", "baseline")
SAME = r"the same function, logits within \S+ of the largest"
OTHER = r"another function \(a logit moved by (\S+) of the largest\)"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """post and pre: BERT as it was first published, and with LayerNorm before; text: a store."""
    root = tmp_path_factory.mktemp("stock")
    save_stock(root / "post", "BertForMaskedLM")
    save_stock(
        root / "pre", "RobertaPreLayerNormForMaskedLM",
        pad_token_id=0, max_position_embeddings=33, type_vocab_size=2,
    )  # fmt: skip
    text = save_text(root / "text.txt")
    out = root / "first"
    assert (
        main(
            [
                *LINE,
                *BASELINE,
                "--start-from",
                str(root / "pre"),
                "--text",
                str(text),
                "--out",
                str(out),
            ]
        )
        == 0
    )
    (out / "data" / "tokens-16").rename(root / "text")
    return root


def begun(folders: Path, kind: str, out: Path, *more: str) -> Path:
    """Folder of the run that the command line makes; it ends well."""
    start = str(folders / kind)
    words = [*LINE, "--start-from", start, "--text", str(folders / "text"), "--out", str(out)]
    given = [*words, *(() if "--arm" in more else BASELINE), *more]
    assert main(given) == 0
    return out / f"{given[given.index('--arm') + 1]}-s0"


@pytest.fixture(scope="module")
def plain(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Loss of each folder's own model on the first batch."""
    root = tmp_path_factory.mktemp("plain")
    return {kind: first_loss(begun(folders, kind, root / kind)) for kind in ("post", "pre")}


@pytest.mark.parametrize(
    ("kind", "method", "size"),
    [
        ("post", "identity", "6x32"),
        ("post", "net2net", "5x32"),
        ("post", "fpi", "3x64"),
        ("post", "lemon", "6x64"),
        ("pre", "lemon", "6x64"),
    ],
)
def test_growth_that_keeps_the_function(
    method: str, size: str, kind: str, folders: Path, plain: dict[str, float], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The first loss is the folder's own, to single precision; inner units keep their share."""
    run = begun(folders, kind, tmp_path, "--grow", method, "--size", size)
    assert re.search(rf"grown by {method} from 3x32 to {size}: {SAME}", capsys.readouterr().out)
    assert first_loss(run) == pytest.approx(plain[kind], rel=1e-5)
    model = config(run)["task"]["model"]
    assert f"{model['layers']}x{model['hidden']}" == size
    assert model["intermediate"] == 2 * model["hidden"]


@pytest.mark.parametrize(
    ("method", "size"), [("stacking", "6x32"), ("interpolation", "6x32"), ("aki", "3x64")]
)
def test_growth_that_changes_it_says_by_how_much(
    method: str, size: str, folders: Path, plain: dict[str, float], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Of the tokens' logits: beside the padding's bias of -1e4 it was 1e-4 of them."""
    run = begun(folders, "post", tmp_path, "--grow", method, "--size", size)
    found = re.search(rf"grown by {method} from 3x32 to {size}: {OTHER}", capsys.readouterr().out)
    assert found is not None
    assert float(found[1]) > 0.05
    assert abs(first_loss(run) / plain["post"] - 1) > 1e-3


@pytest.mark.parametrize("method", ["ligo", "mango"])
def test_fitted_growth(method: str, folders: Path, tmp_path: Path) -> None:
    run = begun(folders, "post", tmp_path, "--grow", method, "--size", "6x64", "--fit-steps", "2")
    assert config(run)["task"]["start"]["grow"] == {"method": method, "steps": 2}


def test_a_width_that_64_does_not_divide(folders: Path, tmp_path: Path) -> None:
    shape = {"hidden_size": 200, "num_attention_heads": 5, "num_hidden_layers": 1}
    save_stock(folders / "wide", "BertForPreTraining", **shape)
    run = begun(folders, "wide", tmp_path, "--grow", "stacking", "--size", "2x200")
    assert (config(run)["task"]["model"]["heads"], config(run)["task"]["model"]["layers"]) == (5, 2)


def test_an_albert_is_refused_in_one_line(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    albert = save_stock(tmp_path / "albert", "AlbertForMaskedLM", embedding_size=16)
    words = [*LINE, *BASELINE, "--text", str(folders / "text")]
    assert main([*words, "--start-from", str(albert), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "embedding_size = 16: must be hidden_size = 32 (ALBERT normalises narrow" in line
    assert "take a BERT checkpoint, and share its layers" in line
