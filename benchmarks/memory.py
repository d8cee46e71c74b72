"""Parameters, gradients and optimiser state of a BERT, tied against untied: allocated and counted.

Float32 AdamW, one update each, no activations worth speaking of (one row of 8 tokens). Every tensor
is counted in bytes; beside it stands what the system says that the process grew by (resident
memory; on CUDA the allocator's own count), so that the counting is no more than a check. Each case
runs in a process of its own.

    python benchmarks/memory.py --out records/memory.json
    python benchmarks/memory.py --device cuda --out records/memory-cuda.json
"""

import gc
import multiprocessing
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from bert.model.config import named_config
from bert.model.encoder import Bert, build_bert
from swe.base.files import write_json
from swe.base.options import Parser
from swe.run.optimizer import OptimizerConfig, build_adamw
from swe.run.record import environment
from swe.sharing.schedule import AlwaysShared, NeverShared
from swe.sharing.share_then_unshare import prepare

SCHEDULES = {"untied": NeverShared(), "tied": AlwaysShared()}


def resident() -> int:
    """Bytes of this process that are in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def bytes_of(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure(size: str, kind: str, device_name: str) -> dict[str, Any]:
    """Allocate one case for real and make one update."""
    torch.set_num_threads(1)
    device = torch.device(device_name)
    cuda = device.type == "cuda"
    config = named_config(size, placement="post", dropout=0.0)
    warm = torch.nn.Linear(8, 8, device=device)  # libraries and allocators take their share first
    warm(torch.zeros(1, 8, device=device)).sum().backward()
    torch.optim.AdamW(warm.parameters(), fused=True).step()
    before = torch.cuda.memory_allocated() if cuda else resident()
    if kind == "tied":
        # The tied model is never built untied: build_bert draws by name, so this is its start.
        with torch.device("meta"):
            model = Bert(config)
        prepare(model.stack, SCHEDULES[kind])
        model = model.to_empty(device=device)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.02)
    else:
        model = build_bert(config, 0).to(device)
    optimizer = build_adamw(model, OptimizerConfig(warmup=0))
    inputs = torch.arange(8, device=device).unsqueeze(0)
    logits = model(inputs, torch.tensor([[3]], device=device))
    functional.cross_entropy(logits, torch.tensor([5], device=device)).backward()
    optimizer.step()
    del logits
    gc.collect()
    parameters = list(model.parameters())
    state = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
    counted = {
        "parameters": bytes_of(parameters),
        "gradients": bytes_of(p.grad for p in parameters if p.grad is not None),
        "optimizer": bytes_of(state),
    }
    grown = (torch.cuda.memory_allocated() if cuda else resident()) - before
    return {
        "count": sum(p.numel() for p in parameters),
        "bytes": counted,
        "total_bytes": sum(counted.values()),
        "measured_growth_bytes": grown,
        "peak_allocated_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "environment": environment(device),
    }


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size", default="large", help='named size or "LxH" (see bert.model.config)'
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="JSON record to write")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    cases: dict[str, dict[str, Any]] = {}
    for kind in SCHEDULES:
        with context.Pool(1) as pool:
            cases[kind] = pool.apply(measure, (options.size, kind, options.device))
        here = cases[kind].pop("environment")
        print(
            f"{kind}: {cases[kind]['count']:,} parameters, {cases[kind]['total_bytes'] / 1e9:.2f} "
            f"GB counted, {cases[kind]['measured_growth_bytes'] / 1e9:.2f} GB measured",
            flush=True,
        )
    record = {
        "what": f"{options.size}: float32 parameters, gradients and AdamW state after one update",
        "device": options.device,
        "cases": cases,
        "ratio_counted": cases["untied"]["total_bytes"] / cases["tied"]["total_bytes"],
        "ratio_measured": cases["untied"]["measured_growth_bytes"]
        / cases["tied"]["measured_growth_bytes"],
        "environment": here,
    }
    write_json(options.out, record)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
