"""Throughput side by side: the stock BERT in two loops, ours in five ways, on one device.

Each contestant runs in a process of its own; a gate comes first (same loss and gradients as the
stock model, see side_by_side/gate.py), and who fails it is not timed. Then 20 steps to warm up and
blocks of 10 timed steps. On the CPU (one thread, process time, ``--precision`` float32 or bfloat16)
all processes live at once and take turns block by block, A B C A B C; on CUDA (bfloat16,
torch.compile, device events) one lives at a time and they take turns process by process, so that
each has the whole memory. The record is written after every turn; the same command goes on where
an earlier one stopped, and ``--max-minutes`` stops it before a turn that would not fit.
``figures/pages/throughput.py`` makes the table; a contestant without a run is a row that says so,
as all are in bfloat16 on a processor without units for it. To measure and to see the table:

    python benchmarks/throughput.py --device cpu --out records/throughput-cpu.json
    export C='python benchmarks/throughput.py --profile --contestants a0 a1 a2 a4 a6'
    for p in float32 bfloat16; do
      $C --precision $p --size 12x256 --length 128 --out records/throughput-cpu-256-128-$p.json
      $C --precision $p --size 12x256 --length 512 --rows 4 \\
        --out records/throughput-cpu-256-512-$p.json
      $C --precision $p --size 12x768 --length 128 --rows 4 --blocks 2 \\
        --out records/throughput-cpu-768-128-$p.json
    done
    python -m figures.pages.throughput records/throughput-*.json

One 141 GB GPU of 2023, each line in under 10 minutes (the second line of a pair goes on; the text
and its vocabulary are made once, some 30 s, and can be made beforehand by ``--prepare``):

    export T='python benchmarks/throughput.py --device cuda --max-minutes 9'
    $T --size large --length 128 --rows 512 --out records/throughput-large-128.json
    $T --size large --length 128 --rows 512 --out records/throughput-large-128.json
    $T --size base --length 128 --rows 512 --out records/throughput-base-128.json
    $T --size large --length 512 --rows 128 --out records/throughput-large-512.json
    $T --size large --length 512 --rows 128 --out records/throughput-large-512.json
    $T --size base --length 512 --rows 128 --out records/throughput-base-512.json
    python benchmarks/memory.py --device cuda --out records/memory-cuda.json
    python -m pytest -m gpu tests

With little time: ``--contestants a2 a3 a4 --turns 1`` first, a0 and a1 afterwards into the same
record. From a checkout that is not installed, set PYTHONPATH to its root.
"""

import argparse
import multiprocessing
import time
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from benchmarks.side_by_side.contestants import NAMES
from benchmarks.side_by_side.settings import Settings, prepare
from benchmarks.side_by_side.worker import serve
from figures.pages.throughput import table
from swe.base.config import require_count
from swe.base.errors import ConfigError
from swe.base.files import read_json, write_json
from swe.base.options import Parser
from swe.run.arithmetic import has_bfloat16_units

FORMAT = "share-then-unshare throughput"


class Turn:
    """One contestant's process."""

    def __init__(self, name: str, settings: Settings, folder: Path) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.ours: Connection
        self.ours, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=serve, args=(theirs, name, settings, folder), daemon=True
        )
        self.process.start()
        theirs.close()

    def ask(self, order: str) -> dict[str, Any]:
        """Send an order and wait for its answer; a process that died answers with an error."""
        try:
            self.ours.send(order)
            answer: dict[str, Any] = self.ours.recv()
        except (EOFError, OSError):
            self.process.join(10)
            return {"error": f"the process ended with code {self.process.exitcode}"}
        return answer

    def stop(self) -> None:
        """End the process."""
        try:
            self.ours.send("stop")
        except OSError:
            self.process.kill()
        self.process.join(60)


class Comparison:
    """The record in the making."""

    def __init__(
        self, settings: Settings, out: Path, folder: Path, profile: bool, notes: dict[str, Any]
    ) -> None:
        self.settings, self.out, self.folder, self.profile = settings, out, folder, profile
        self.record: dict[str, Any] = {
            "format": FORMAT,
            "settings": asdict(settings) | {"flops_per_token": settings.flops_per_token},
            "names": NAMES,
            "gates": {},
            "turns": [],
        } | notes
        found = stored(out)
        if found is not None:
            if found.get("settings") != self.record["settings"]:
                raise ConfigError(f"{out}: holds a comparison of other settings; name another file")
            self.record = found

    def passed(self, turn: Turn) -> bool:
        """Put a contestant through the gate, once."""
        gates = self.record["gates"]
        if turn.name not in gates or "error" in gates[turn.name]:
            gates[turn.name] = self._noted(turn, turn.ask("gate"))
            self.write()
        result: dict[str, Any] = gates[turn.name]
        words = result.get("error") or (
            f"loss {result['loss']:.1e}, gradient {result['gradient']:.1e} ({result['worst']})"
        )
        if "bfloat16_cosine" in result:
            words += f", bfloat16 loss {result['bfloat16_loss']:.1e}"
            words += f", cosine {result['bfloat16_cosine']:.6f}"
        fine = bool(result.get("passed"))
        print(f"{turn.name} gate: {'passed' if fine else 'FAILED, not timed'}; {words}", flush=True)
        return fine

    def together(self, names: list[str], blocks: int) -> None:
        """All processes at once, a block each in turn: for the CPU."""
        wanted = [n for n in names if not any(t["name"] == n for t in self.record["turns"])]
        turns = [Turn(name, self.settings, self.folder) for name in wanted]
        try:
            ready: dict[str, dict[str, Any]] = {}
            for turn in turns:
                if self.passed(turn):
                    warm = self._noted(turn, turn.ask("warm"))
                    if "error" not in warm:
                        ready[turn.name] = {
                            "name": turn.name,
                            "turn": 0,
                            "warm": warm,
                            "blocks": [],
                        }
            racing = [turn for turn in turns if turn.name in ready]
            for number in range(blocks):
                for turn in racing:
                    ready[turn.name]["blocks"].append(turn.ask("block"))
                print(f"block {number + 1} of {blocks}", flush=True)
            for turn in racing:
                entry = ready[turn.name] | {"end": self._end(turn)}
                self.record["turns"].append(entry)
            self.write()
        finally:
            for turn in turns:
                turn.stop()

    def apart(self, names: list[str], count: int, blocks: int, deadline: float) -> None:
        """One process at a time, ``count`` rounds of all: for a device that one of them fills."""
        longest = 0.0
        for number in range(count):
            for name in names:
                done = any(t["name"] == name and t["turn"] == number for t in self.record["turns"])
                if done:
                    continue
                begin = time.monotonic()
                if begin + longest > deadline:
                    print(f"stopped before turn {number + 1} of {name}; the same command goes on")
                    return
                self._turn(name, number, blocks)
                longest = max(longest, time.monotonic() - begin)

    def _turn(self, name: str, number: int, blocks: int) -> None:
        turn = Turn(name, self.settings, self.folder)
        try:
            if not self.passed(turn):
                return
            entry: dict[str, Any] = {"name": name, "turn": number, "blocks": []}
            entry["warm"] = self._noted(turn, turn.ask("warm"))
            if "error" not in entry["warm"]:
                entry["blocks"] = [turn.ask("block") for _ in range(blocks)]
                entry["end"] = self._end(turn)
                self.record["turns"].append(entry)
                self.write()
                print(f"{name}: turn {number + 1} measured", flush=True)
        finally:
            turn.stop()

    def _end(self, turn: Turn) -> dict[str, Any]:
        profile = self._noted(turn, turn.ask("profile")) if self.profile else {}
        return self._noted(turn, turn.ask("finish")) | profile

    def _noted(self, turn: Turn, answer: dict[str, Any]) -> dict[str, Any]:
        """Keep an answer's environment for the record, and show an error in full."""
        if "environment" in answer:
            answer = dict(answer)
            self.record["environment"] = answer.pop("environment")
        if "error" in answer:
            print(f"{turn.name}: {answer.pop('trace', answer['error'])}", flush=True)
        return answer

    def write(self) -> None:
        """Write the record."""
        write_json(self.out, self.record)


def stored(out: Path) -> dict[str, Any] | None:
    """Return the record that is there. ConfigError for a file that is none."""
    if not out.exists():
        return None
    try:
        found = read_json(out)
        if found["format"] == FORMAT and isinstance(found["settings"], dict):
            return dict(found)
    except (ValueError, LookupError, TypeError):
        pass
    raise ConfigError(f"{out}: is no record of this program; name another file or remove it")


def settled(settings: Settings, out: Path) -> tuple[Settings, dict[str, Any]]:
    """Return the settings with our kernel named, as in the record ``out`` if it is there.

    Also what the record notes of it, or that the processor has no units for bfloat16: "not_run".
    """
    if settings.device == "cuda":
        return settings, {}
    if settings.precision == "bfloat16" and not has_bfloat16_units():
        return settings, {"not_run": "this processor has no units for bfloat16"}
    found = stored(out)
    if found is not None:
        return replace(
            settings, attention=found["settings"].get("attention", settings.attention)
        ), {}
    torch.set_num_threads(1)
    settings, times = settings.measured()
    return settings, {"attention_milliseconds": times}


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--size", default="12x64", help='named size or "LxH"')
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--length", type=int, default=64, help="tokens in a row")
    parser.add_argument("--rows", type=int, default=16, help="rows in a batch")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--vocabulary", type=int, default=30522)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--contestants", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--blocks", type=int, default=5, help="blocks of 10 steps in a turn")
    parser.add_argument("--turns", type=int, default=2, help="processes a contestant (CUDA)")
    parser.add_argument("--eager", action="store_true", help="CUDA without torch.compile")
    parser.add_argument("--compile", action="store_true", help="CPU with torch.compile")
    parser.add_argument("--profile", action="store_true", help="and where a step's time goes")
    parser.add_argument("--max-minutes", type=float, default=float("inf"))
    parser.add_argument("--data", type=Path, default=Path("results/throughput"), help="its text")
    parser.add_argument("--prepare", action="store_true", help="only make the text")
    parser.add_argument("--out", type=Path, help="JSON record")
    given = parser.parse_args()
    deadline = time.monotonic() + 60 * given.max_minutes
    out = given.out or Path(f"results/throughput/{given.device}-{given.size}-{given.length}.json")
    try:
        for option in ("blocks", "turns"):
            require_count(f"--{option}", getattr(given, option))
        settings = Settings(
            device=given.device,
            precision=given.precision,
            size=given.size,
            length=given.length,
            rows=given.rows,
            vocabulary=given.vocabulary,
            dropout=given.dropout,
            seed=given.seed,
            compiled=given.compile or (given.device == "cuda" and not given.eager),
        )
        settings, notes = settled(settings, out)
        comparison = Comparison(settings, out, given.data, given.profile, notes)
        if "not_run" in notes:
            comparison.write()
            print(table(comparison.record), f"wrote {out}", sep="\n\n")
            return
        prepare(settings, given.data)
    except ConfigError as error:
        parser.exit(1, f"throughput: {error}\n")
    if given.prepare:
        return
    # Compiled whole or not at all is one and the same without compilation: a5 is then a2.
    left_out = {"a5"} if not settings.compiled else set()
    if settings.device == "cuda":
        left_out.add("a6")  # torch's own order of preference there is another question
    names = [name for name in given.contestants if name not in left_out]
    if settings.device == "cpu":
        comparison.together(names, given.blocks)
    else:
        comparison.apart(names, given.turns, given.blocks, deadline)
    comparison.write()
    print(table(comparison.record), f"wrote {out}", sep="\n\n")


if __name__ == "__main__":
    main()
