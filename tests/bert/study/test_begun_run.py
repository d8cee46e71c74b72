"""A run asked for otherwise: the option, both values and the way out, before data are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bert.pretrain import main
from swe.base.files import read_json, read_lines
from tests.bert.test_pretrain import SETTINGS

LINE = [word for word in SETTINGS if word not in ("--steps", "12", "--size", "3x16")]


def words_of(seed: int, documents: int = 300) -> str:
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefgh"), size=rng.integers(2, 7))) for _ in range(150)]
    return "\n\n".join(" ".join(rng.choice(words, size=60)) for _ in range(documents))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(text, out) with a finished run of 12 updates."""
    folder = tmp_path_factory.mktemp("begun")
    text, out = folder / "text.txt", folder / "out"
    text.write_text(words_of(0))
    assert main(line(text, out)) == 0
    return text, out


def line(text: Path, out: Path, steps: int = 12, size: str = "3x16", *more: str) -> list[str]:
    given = [*LINE, "--steps", str(steps), "--size", size, "--jobs", "1"]
    for word in more:
        name, equals, _ = word.partition("=")
        same = [i for i, known in enumerate(given) if equals and known.startswith(f"{name}=")]
        if same:
            given[same[0]] = word
        else:
            given += [word] if word.startswith("--") else ["--set", word] if equals else [word]
    return [*given, "--text", str(text), "--out", str(out)]


def content(out: Path) -> dict[Path, bytes]:
    hidden = (".lock", ".turn")
    return {
        path: path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.name not in hidden
    }


@pytest.mark.parametrize(
    ("steps", "size", "more", "told"),
    [
        (20, "3x16", (), "begun with --steps 12, now 20: --extend takes it on to 20; --steps 12"),
        (8, "3x16", (), "begun with --steps 12, now 8: --steps 12 goes on"),
        (8, "3x16", ("--extend",), "begun with --steps 12, now 8: --steps 12 goes on"),
        (12, "6x16", (), "begun with another --size: layers 3, now 6: --size as it was"),
        (12, "3x16", ("tau=0.3",), "begun with --set tau=0.5, now 0.3: --set tau as it was"),
        (12, "3x16", ("peak_lr=0.01",), "begun with --set peak_lr=0.003, now 0.01"),
        (12, "3x16", ("rows=8",), "begun with --set rows=4, now 8"),
        (12, "3x16", ("length=32",), "begun with --set length=16, now 32"),
        (12, "3x16", ("documents=apart",), "begun with --set documents=across, now apart"),
        (12, "3x16", ("placement=post",), "begun with --set placement=pre, now post"),
        (
            12,
            "3x16",
            ("objective=causal",),
            "begun with --objective masked, now causal: --objective",
        ),
        (12, "3x16", ("whole_word=true",), "begun with --set whole_word=False, now True"),
        (12, "3x16", ("vocabulary=120",), "begun with another --vocab: --vocab as it was"),
        (20, "3x16", ("rows=8", "--extend"), "begun with --set rows=4, now 8"),
    ],
)
def test_another_setting_is_told_by_its_option(
    steps: int,
    size: str,
    more: tuple[str, ...],
    told: str,
    begun: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    text, out = begun
    before = content(out)
    assert main(line(text, out, steps, size, *more)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"bert.pretrain: {out}/swe-f-s0: was {told}" in last
    assert "another --out begins anew" in last
    after = content(out)
    assert before == {path: after[path] for path in before}
    assert all(path.name.startswith("trained-") for path in after.keys() - before.keys())


def test_another_text_is_told_before_its_vocabulary_is_trained(
    begun: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, out = begun
    other = tmp_path / "other.txt"
    other.write_text(words_of(1))
    before = content(out)
    assert main(line(other, out)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "was begun on another text (other.txt was added): the --text (and --valid) that" in last
    assert content(out) == before
    assert main(line(text, out)) == 0


def test_a_run_is_extended(
    begun: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once asked for, the command with and without --extend goes on; the record says from where."""
    text, out = begun[0], tmp_path / "out"
    assert main(line(text, out, 20, "3x16", "--extend")) == 2
    assert "--extend: " in (told := capsys.readouterr().err)
    assert "holds no run; without it one is begun there" in told
    assert main(line(text, out)) == 0
    assert main(line(text, out, 20, "3x16", "--extend")) == 0
    shown = capsys.readouterr().out
    assert "extended at update 12 of 12: from there the rate is the longer run's" in shown
    assert "finished after 20 updates" in shown
    for more in (("--extend",), ()):
        assert main(line(text, out, 20, "3x16", *more)) == 0
    run = out / "swe-f-s0"
    stored = read_json(run / "config.json")["train"]
    assert (stored["steps"], stored["extended_at"], stored["extended_from"]) == (20, [12], [12])
    assert stored["schedule"]["until"] == 6, "tau stays the update that it was"
    assert read_json(run / "summary.12.json")["steps"] == 12
    assert [event["step"] for event in read_lines(run / "events.jsonl")] == [6]
    assert main(line(text, out)) == 2
    assert "was begun with --steps 20, now 12" in capsys.readouterr().err
    assert main(line(text, out, 30, "3x16", "--extend")) == 0
    assert read_json(run / "summary.json")["extended_at"] == [12, 20]
