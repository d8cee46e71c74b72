"""The command, and docs/data.md word for word on a small text."""

from __future__ import annotations

import json
import re
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import paper_repro
from bert.data import __main__ as data
from bert.data.store import TokenStore
from bert.data.vocab import Vocabulary
from bert.study.asked import asked_study
from bert.study.comparison import build_task, prepare_data
from evidence.commands import settings_of

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def command_of(name: str) -> list[str]:
    """The words of a command in docs/data.md, after the program's name."""
    match = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    assert match is not None
    [line] = match[1].splitlines()
    python, *words = shlex.split(line)
    assert python == "python"
    return words


@pytest.fixture
def workplace(tmp_path: Path, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the page's commands name."""
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "walking", "walked", "mat."]
    texts = [" ".join(rng.choice(words, size=80)) for _ in range(400)]
    folder = tmp_path / "my-text"
    folder.mkdir()
    (folder / "a.txt").write_text("\n\n".join(texts[:200]))
    (folder / "b.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts[200:]))
    (tmp_path / "valid.txt").write_text("\n\n".join(texts[:20]))
    vocabulary.save(tmp_path / "vocab.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(words: list[str]) -> int:
    module, name, *arguments = words
    assert (module, name) == ("-m", "bert.data")
    return data.main(arguments)


def test_the_pages_commands(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command_of("build")) == 0
    assert TokenStore.open("tokens-128", verify=True).length == 128
    out = capsys.readouterr().out
    assert re.search(r"train: \d+ documents, \d+ words, \d+ tokens, \d+ rows", out)
    assert re.search(r"peak memory of all \d processes \d+ MiB", out)
    assert run(command_of("build")) == 0
    assert "made from these inputs before" in capsys.readouterr().out
    assert run(command_of("apart")) == 0
    apart = TokenStore.open("tokens-apart", verify=True)
    assert apart.manifest["documents"] == "apart"
    assert apart.manifest["parts"]["valid"]["documents"] == 20
    assert apart.manifest["parts"]["train"]["documents"] == 380
    out = capsys.readouterr().out
    assert "dropped from train: 20 documents that stand in the validation text" in out


def test_the_pages_own_vocabulary_and_study(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The study is parsed and its data taken; the training itself is tested elsewhere."""
    words = command_of("own vocabulary")
    words[words.index("--jobs") + 1] = "1"
    assert run(words) == 0
    script, *arguments = command_of("train")
    assert script == "paper_repro.py"
    given = paper_repro.parser().parse_args(arguments)
    named = {"size": given.size, "steps": given.steps, "seeds": given.seeds}
    settings = {k: v for k, v in named.items() if v is not None} | settings_of(given.set)
    study = asked_study(given.scale, given.seed, settings, given.text)
    prepared = prepare_data(study, workplace / "none", text=given.text)
    assert prepared.store == Path("tokens-64")
    task = build_task(study, prepared)
    assert task.batch(0, 0)["inputs"].shape == (8, 64)
    assert not (workplace / "none").exists()


def test_a_record_says_what_was_built(workplace: Path) -> None:
    words = ["my-text", "--vocab", "vocab.txt", "--length", "32", "--out", "store"]
    assert data.main([*words, "--record", "record.json"]) == 0
    [record] = builds = json.loads(Path("record.json").read_text())["builds"]
    assert record["manifest"] == TokenStore.open("store").manifest
    assert record["built"]
    assert record["peak_memory_bytes"]["processes"] == 1
    assert record["peak_memory_bytes"]["sum"] > 10 << 20
    assert record["host"]["command"] == " ".join(
        ["python -m bert.data", *words, "--record record.json"]
    )
    assert data.main([*words, "--record", "record.json"]) == 0  # nothing to build
    assert json.loads(Path("record.json").read_text())["builds"] == builds
    words[-1] = "other"
    assert data.main([*words, "--record", "record.json"]) == 0
    [first, second] = json.loads(Path("record.json").read_text())["builds"]
    assert first == record
    assert second["manifest"] == record["manifest"]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (["--length", "2"], 2, "--length = 2: must be an integer, at least 3"),
        (["--jobs", "0"], 2, "--jobs = 0: must be an integer, at least 1"),
        (["--per-mille", "1001"], 2, "--per-mille = 1001"),
        (["--vocab", "none.txt"], 1, "none.txt: cannot be read (No such file or directory)"),
        (["--valid", "none.txt"], 1, "none.txt: no such file or folder"),
        (["--out", "valid.txt"], 1, "File exists: 'valid.txt'"),
        (["--length", "500000"], 1, "too little text for one train row of 500000 tokens"),
    ],
)
def test_bad_input_gives_one_line(
    workplace: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    status: int,
    message: str,
) -> None:
    options = {"--vocab": "vocab.txt", "--out": "store"} | {change[0]: change[1]}
    words = ["my-text", *(word for pair in options.items() for word in pair)]
    assert data.main(words) == status
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("bert.data: ")
    assert message in line


def test_text_or_a_data_set(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["my-text", "--dataset", "name"]):
        with pytest.raises(SystemExit, match="2"):
            data.main([*words, "--vocab", "vocab.txt", "--out", "store"])
        assert "give either TEXT or --dataset NAME" in capsys.readouterr().err


def test_a_data_set_by_name(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(workplace / "cache"))
    pytest.importorskip("datasets")
    Path("set").mkdir()
    Path("set/train.jsonl").write_bytes(Path("my-text/b.jsonl").read_bytes())
    options = ["--vocab", "vocab.txt", "--length", "32"]
    assert data.main(["--dataset", "set", *options, "--out", "hub"]) == 0
    assert data.main(["my-text/b.jsonl", *options, "--out", "files"]) == 0
    hub, files = TokenStore.open("hub"), TokenStore.open("files")
    assert (hub.train == files.train).all()
    assert hub.manifest["documents_sha256"] == files.manifest["documents_sha256"]
    assert data.main(["--dataset", "nowhere", *options, "--out", "other"]) == 1
    assert "nowhere: the data set cannot be read" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert data.main(["--dataset", "set", *options, "--out", "other"]) == 1
    assert "(the extra hf-data)" in capsys.readouterr().err


def test_mixed_encodings_are_refused_or_read_as_told(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = "walking café ".encode() + "caf\xe9 ".encode("latin-1") + b"the cat sat on the mat "
    Path("mixed.txt").write_bytes(mixed * 20)
    Path("plain.txt").write_text("walking café café the cat sat on the mat " * 20, "utf-8")
    options = ["--vocab", "vocab.txt", "--length", "16", "--per-mille", "0", "--out"]
    assert data.main(["mixed.txt", *options, "store"]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line == (
        "bert.data: mixed.txt: not UTF-8 text at byte 17 (line 1); --errors latin-1 reads such "
        "bytes as Latin-1, --errors replace drops them"
    )
    assert data.main(["plain.txt", *options, "plain"]) == 0
    rows = {}
    for errors in ("latin-1", "replace"):
        assert data.main(["mixed.txt", *options, errors, "--errors", errors]) == 0
        rows[errors] = TokenStore.open(errors).train.tolist()
    assert rows["latin-1"] == TokenStore.open("plain").train.tolist()
    assert rows["replace"] != rows["latin-1"]


def test_ctrl_c_stops_politely(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["my-text", "--vocab", "vocab.txt", "--length", "32", "--out", "store"]
    for shown in ("hash:", "tokens:"):
        asked: list[bool] = []

        def stop(shown: str = shown, asked: list[bool] = asked) -> bool:
            asked.append(True)
            return shown == "hash:" or len(asked) > 2  # two files are hashed before

        with monkeypatch.context() as patch:
            patch.setattr(data, "polite_stop", lambda stop=stop: nullcontext(stop))
            assert data.main(words) == 130
        error = capsys.readouterr().err
        assert shown in error
        assert "bert.data: stopped; the same command goes on" in error
        assert Path("store/building.json").exists() == (shown == "tokens:")
    assert data.main(words) == 0
