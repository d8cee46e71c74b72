"""What the guards cost of a run of 1,000 updates with one untie, for models of several sizes.

    python -m benchmarks.guards --out records/guards.json

Processor time, in one process: updates, and calls of ``begin_step`` with the guards and without,
in turn on the same models, so that the machine's drift meets all alike.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from swe.base.environment import host
from swe.base.files import write_json
from swe.base.options import Parser
from swe.sharing.adopt import adopt
from swe.sharing.schedule import SweFixed

UPDATES = 1000
UNTIE = 5
SHAPES = {
    "4 layers x 32, 8 x 16 tokens": (4, 32, 8, 16),
    "8 layers x 64, 64 x 24 tokens": (8, 64, 64, 24),
    "12 layers x 256, 16 x 128 tokens": (12, 256, 16, 128),
}


class Encoder(nn.Module):
    """A plain encoder of torch's own layers."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 2, 4 * width, batch_first=True, norm_first=True)
            for _ in range(depth)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """Run the layers, (rows, length, width)."""
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


def one(shape: tuple[int, int, int, int], guards: bool) -> tuple[float, float]:
    """Processor seconds of an update, and of all calls of begin_step until all is untied."""
    depth, width, rows, length = shape
    torch.manual_seed(0)
    model = Encoder(depth, width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    inputs = torch.randn(rows, length, width)

    def loss() -> Tensor:
        out: Tensor = model(inputs)
        return out.square().mean()

    swe = adopt(model, "layers", SweFixed(until=UNTIE), optimizer, UPDATES, guards=guards)
    updates, begun = [], 0.0
    for step in range(3 * UNTIE):
        at = time.process_time()
        swe.begin_step(step, loss)
        begun += time.process_time() - at
        at = time.process_time()
        loss().backward()
        swe.finish_gradients()
        optimizer.step()
        optimizer.zero_grad()
        updates.append(time.process_time() - at)
    return statistics.median(updates), begun


def measure(shape: tuple[int, int, int, int], turns: int) -> dict[str, Any]:
    """Compare with and without, in turn."""
    found = [(one(shape, True), one(shape, False)) for _ in range(turns)]
    update = statistics.median(seconds for pair in found for seconds, _ in pair)
    extra = sorted((guarded - bare) / update for (_, guarded), (_, bare) in found)
    return {
        "update_seconds": round(update, 5),
        "guards_in_updates": round(statistics.median(extra), 3),
        "least": round(extra[0], 3),
        "most": round(extra[-1], 3),
        "share_of_run": round(statistics.median(extra) / UPDATES, 5),
        "n": turns,
    }


def main() -> None:
    """Measure and write the record."""
    parser = Parser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--turns", type=int, default=5, help="pairs of runs of each kind")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, shape in SHAPES.items():
        rows.append({"model": name, **measure(shape, options.turns)})
        print(rows[-1], flush=True)
    environment = host() | {"torch": torch.__version__}
    write_json(options.out, {"environment": environment, "updates": UPDATES, "rows": rows})


if __name__ == "__main__":
    main()
