"""Every method of the comparison from a folder as transformers writes it, by the command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bert.huggingface.export import load_run
from bert.pretrain import main, pretrain
from bert.study.run_options import Options
from bert.study.run_parser import parse
from swe.base.files import read_json, read_lines
from swe.base.interrupt import Interrupted
from swe.sharing.layout import Layout
from tests.bert.study.stock_folders import save_stock, save_text
from tests.bert.study.test_starting import config, first_loss
from tests.swe.ranks.rank_runs import StopAfter

pytest.importorskip("transformers")

ROOT = Path(__file__).resolve().parents[3]
LINE = [
    "--scale", "smoke", "--device", "cpu", "--jobs", "1", "--steps", "6",
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


def read(folders: Path, kind: str, *more: str) -> Options:
    """What the command line asks for, its model made and nothing trained."""
    given = [*LINE, *(() if "--arm" in more else BASELINE), "--text", str(folders / "text")]
    start = ("--start-from", str(folders / kind), "--out", str(folders / "none"))
    return parse([*given, *start, *more])


@pytest.fixture(scope="module")
def plain(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run from each folder as it is."""
    root = tmp_path_factory.mktemp("plain")
    return {kind: begun(folders, kind, root / kind) for kind in ("post", "pre")}


def documented() -> list[tuple[str, str]]:
    """(options, what is preserved) of each line of the table in docs/bert.md."""
    page = (ROOT / "docs" / "bert.md").read_text(encoding="utf-8")
    table = page.partition("<!-- foreign -->\n\n")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [(options.split("`")[1], kept) for _, options, kept in cells]


def test_every_documented_line_says_what_it_preserves(folders: Path) -> None:
    """As the run announces it, before anything is trained."""
    lines = documented()
    assert len(lines) == 23
    for options, kept in lines:
        said = " ".join(read(folders, "post", *options.split()).said)
        core = "--core" in options
        assert kept.startswith("the function") == ("another function" not in said and not core)
        assert ("model's function" in kept) == ("tying changes nothing" in said), options
        assert core == ("nearest products of rank 16" in said)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["post", "pre", "run"])
def test_every_documented_line_trains(
    kind: str, folders: Path, plain: dict[str, Path], tmp_path: Path
) -> None:
    """From the two stock folders, and from a run of ours that began with one."""
    start = str(plain["post"]) if kind == "run" else kind
    for number, (options, _) in enumerate(documented()):
        run = begun(folders, start, tmp_path / str(number), *options.split())
        assert read_json(run / "summary.json")["steps"] == 6, options


@pytest.mark.parametrize("kind", ["post", "pre"])
def test_growth_that_keeps_the_function(
    kind: str, folders: Path, plain: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """LEMON in width and depth: the first loss is the folder's own, to single precision; inner
    units keep their share."""
    run = begun(folders, kind, tmp_path, "--grow", "lemon", "--size", "6x64")
    assert re.search(rf"grown by lemon from 3x32 to 6x64: {SAME}", capsys.readouterr().out)
    assert first_loss(run) == pytest.approx(first_loss(plain[kind]), rel=1e-5)
    model = config(run)["task"]["model"]
    assert (model["layers"], model["hidden"], model["intermediate"]) == (6, 64, 128)


@pytest.mark.parametrize(
    ("method", "size"), [("stacking", "6x32"), ("interpolation", "6x32"), ("aki", "3x64")]
)
def test_growth_that_changes_it_says_by_how_much(method: str, size: str, folders: Path) -> None:
    """Of the tokens' logits: beside the padding's bias of -1e4 it was 1e-4 of them."""
    [said] = read(folders, "post", "--grow", method, "--size", size).said
    found = re.search(rf"grown by {method} from 3x32 to {size}: {OTHER}", said)
    assert found is not None
    assert float(found[1]) > 0.05


def test_a_width_that_64_does_not_divide(folders: Path) -> None:
    shape = {"hidden_size": 200, "num_attention_heads": 5, "num_hidden_layers": 1}
    save_stock(folders / "wide", "BertForPreTraining", **shape)
    start = read(folders, "wide", "--grow", "stacking", "--size", "2x200").start
    assert start is not None
    assert (start.config.heads, start.config.layers, start.config.intermediate) == (5, 2, 64)


def test_an_albert_without_a_map_is_tied_as_it_was(folders: Path) -> None:
    """As we export one."""
    wide = {"embedding_size": 32, "hidden_act": "gelu"}
    albert = save_stock(folders / "albert", "AlbertForMaskedLM", **wide)
    weights = load_file(albert / "model.safetensors")
    head = "albert.encoder.embedding_hidden_mapping_in."
    plain = {f"{head}weight": torch.eye(32), f"{head}bias": torch.zeros(32)}
    save_file({**weights, **plain}, albert / "model.safetensors", {"format": "pt"})
    [said] = read(folders, "albert", "--arm", "always-shared").said
    assert "alike already: tying changes nothing" in said


def test_an_albert_is_refused_in_one_line(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    albert = save_stock(tmp_path / "albert", "AlbertForMaskedLM", embedding_size=16)
    words = [*LINE, *BASELINE, "--text", str(folders / "text")]
    assert main([*words, "--start-from", str(albert), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "embedding_size = 16: must be hidden_size = 32 (ALBERT normalises narrow" in line
    assert "take a BERT checkpoint, and share its layers" in line


@pytest.mark.parametrize(
    ("growth", "arm", "units"),
    [
        ("stacking", "swe-f", 3),
        pytest.param("stacking", "always-shared", 3, marks=pytest.mark.slow),
        pytest.param("interpolation", "sequence", 3, marks=pytest.mark.slow),
    ],
)
def test_copies_are_tied_without_a_change(
    growth: str, arm: str, units: int, folders: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Grow, share, unshare: the first loss is that of the same copies untied, to rounding."""
    grow = ("--grow", growth, "--size", "6x32")
    apart = begun(folders, "post", tmp_path / "apart", *grow)
    shared = ("--arm", arm, "--set", f"unit={units}", "tau=0.5")
    together = begun(folders, "post", tmp_path / "shared", *grow, *shared)
    assert "alike already: tying changes nothing" in capsys.readouterr().out
    assert first_loss(together) == pytest.approx(first_loss(apart), rel=1e-6)
    summary = read_json(together / "summary.json")
    layers = 6 if arm == "swe-f" else 3
    whole = read_json(apart / "summary.json")["parameters_at_start"]
    assert summary["parameters_at_start"] < whole
    assert load_run(together)[0].stack.layout.block_count == layers


def test_layers_that_differ_are_tied_by_their_mean_or_one(folders: Path) -> None:
    """Said, as the function changes; --start-tie counts the layers that share, 0 to 2 of 6 in 2."""
    [said] = read(folders, "post", "--arm", "always-shared").said
    assert "layers that share begin as their mean: another function" in said
    six = ("--grow", "stacking", "--size", "6x32", "--arm", "sequence", "--set", "unit=2")
    found = read(folders, "post", *six, "--start-tie", "2")
    assert "begin as number 2 of them: another function" in found.said[-1]
    assert found.start is not None
    assert found.start.describe()["tie"] == 2


@pytest.mark.parametrize(
    ("option", "field"),
    [
        (("--layer-drop", "0.2"), "dropping"),
        (("--progressive-layer-drop", "0.5"), "dropping"),
        (("--similarity", "0.1"), "similarity"),
    ],
)
def test_layers_dropped_or_drawn_together(
    option: tuple[str, str], field: str, folders: Path
) -> None:
    """From the same weights as without."""
    found, other = read(folders, "post", *option), read(folders, "post")
    assert found.start is not None
    assert other.start is not None
    assert found.start.describe() == other.start.describe()
    assert list(found.rivals) == [field]


@pytest.mark.slow
def test_layers_are_added_in_lots(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MSLT on 3 layers that are trained already: 6, then 8, then all of them in training."""
    run = begun(
        folders, "post", tmp_path, "--grow", "mslt", "--size", "8x32",
    )  # fmt: skip
    assert "to 8 layers in 2 lots by mslt, each alone in training" in capsys.readouterr().out
    rows = [row for row in read_lines(run / "events.jsonl") if row["kind"] == "grow"]
    assert [(row["step"], row["depth"]) for row in rows] == [(2, 8), (4, 8)]
    assert [stage["trained"] for stage in config(run)["train"]["stages"]] == [3, 2]
    assert load_run(run)[0].stack.layout == Layout.untied(8)
    # The run is a source itself: stacked again, as progressive stacking goes on.
    again = begun(folders, str(run), tmp_path / "again", "--grow", "stacking", "--size", "16x32")
    assert config(again)["task"]["model"]["layers"] == 16


def test_products_begin_as_the_nearest_ones(
    folders: Path, plain: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CoRe: by copies twice as wide, matrices have the small width's rank, so nothing is lost."""
    wide = ("--grow", "fpi", "--size", "3x64")
    run = begun(folders, "post", tmp_path, *wide, "--core", "32")
    moved = r"products of rank \d+ .* moved by (\S+) of"
    for said, kept in (
        (capsys.readouterr().out, True),
        (" ".join(read(folders, "post", *wide, "--core", "8").said), False),
    ):
        found = re.search(moved, said)
        assert found is not None
        assert (float(found[1]) < 1e-5) == kept
    assert first_loss(run) == pytest.approx(first_loss(plain["post"]), rel=1e-5)
    [row] = [row for row in read_lines(run / "events.jsonl") if row["kind"] == "grow"]
    assert row["step"] == 2
    assert row["held_loss"] == pytest.approx(row["held_loss_before"], rel=1e-5)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(("--grow", "mslt", "--size", "8x32"), id="mslt", marks=pytest.mark.slow),
        pytest.param(("--core", "8"), id="core", marks=pytest.mark.slow),
    ],
)
def test_a_start_in_stages_goes_on_where_it_was(
    method: tuple[str, ...], folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped in its first stage, it ends as the unbroken run; till then it is no source."""
    words = method
    whole = begun(folders, "pre", tmp_path / "whole", *words)
    line = [*LINE, *BASELINE, "--text", str(folders / "text"), "--start-from"]
    part = [*line, str(folders / "pre"), "--out", str(tmp_path / "part"), *words]
    with pytest.raises(Interrupted):
        pretrain(parse(part), StopAfter(1))
    run = tmp_path / "part" / "baseline-s0"
    assert main([*line, str(run), "--out", str(tmp_path / "other")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert "newest checkpoint is of stage 1 of " in told
    assert main([{"8x32": "9x32", "8": "7"}.get(word, word) for word in part]) == 2
    assert "was begun with another --" in capsys.readouterr().err.splitlines()[-1]
    assert main(part) == 0
    ends = [read_json(one / "summary.json")["valid"] for one in (whole, run)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--grow", "mslt"), "--grow mslt: say to what, with --size"),
        (("--grow", "mslt", "--size", "6x64"), "must be of width 32 with --grow mslt, which adds"),
        (("--grow", "mslt", "--size", "3x32"), "--size = '3x32': must be of more than 3 layers"),
        (("--grow", "mslt", "--size", "6x32", "--core", "8"), "--core = 8: must be without --grow"),
        (("--grow", "ligo", "--size", "6x64", "--core", "8"), "--core = 8: must be without --grow"),
        (("--grow", "mslt", "--size", "6x32", "--layer-drop", "0.1"), "must be without --layer-d"),
        (("--grow", "mslt", "--size", "6x32", "--fit-steps", "3"), "with --grow ligo or mango"),
        (("--core", "33"), "--core: rank = 33: must be at most 32, the whole matrix's"),
        (("--core", "8", "--arm", "swe-f"), "--arm = 'swe-f': must be baseline with --core"),
        (("--grow", "stacking", "--size", "6x32", "--arm", "sequence", "--set", "unit=2",
          "--start-tie", "3"), "--start-tie = 3: must be average, or a layer (of units, one)"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_line(
    more: tuple[str, ...], told: str, folders: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words = [*LINE, *(() if "--arm" in more else BASELINE), "--text", str(folders / "text")]
    start = ("--start-from", str(folders / "post"), "--out", str(tmp_path / "out"))
    assert main([*words, *start, *more]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_products_without_a_start_are_drawn(folders: Path, tmp_path: Path) -> None:
    """No --start-from: CoRe as its paper has it."""
    vocabulary = next((folders / "first" / "data").glob("vocab-*.txt"))
    given = ("--size", "2x32", "--core", "8", "--vocab", str(vocabulary))
    text = ("--text", str(folders / "text"), "--out", str(tmp_path))
    assert main([*LINE, *BASELINE, *given, *text]) == 0
    assert config(tmp_path / "baseline-s0")["train"]["stages"][0]["rank"] == 8
