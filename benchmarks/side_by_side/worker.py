"""One contestant in a process of its own: gate, warm-up, timed blocks, the untie, probes.

On CUDA every step lies between two device events and nothing is read back within a block; on the
CPU the process's own time is taken, which other processes do not lengthen.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.side_by_side.contestants import PLACEMENT, Contestant, Ours, make
from benchmarks.side_by_side.gate import gate
from benchmarks.side_by_side.settings import BLOCK, WARM, Settings, task_of
from swe.run.compiling import graph_count
from swe.run.record import environment
from swe.sharing.statistics import weight_energies

AFTER = 12
"""Steps watched from the untie on."""
PROFILED, LISTED = 3, 12
"""Steps under the profiler, and operators kept of its list."""
NEAR = 1.2
"""A step is normal again when it takes at most so many medians."""


def serve(connection: Connection, name: str, settings: Settings, folder: Path) -> None:
    """Answer ("gate" | "warm" | "block" | "finish" | "profile" | "stop") by a dictionary each.

    An error is answered by {"error": its one line, "trace": all of it}.
    """
    if settings.device == "cpu":
        torch.set_num_threads(1)
    worker: _Worker | None = None
    while (order := connection.recv()) != "stop":
        try:
            if worker is None:
                worker = _Worker(name, settings, folder)
            connection.send(getattr(worker, order)())
        except Exception as error:
            trace = traceback.format_exc()
            connection.send({"error": f"{type(error).__name__}: {error}", "trace": trace})


class _Worker:
    def __init__(self, name: str, settings: Settings, folder: Path) -> None:
        self.name, self.settings = name, settings
        self.cuda = settings.device == "cuda"
        self.task = task_of(settings, PLACEMENT.get(name, "post"), folder)
        self.index = 0
        self.contestant: Contestant | None = None
        self.seconds: list[float] = []

    def gate(self) -> dict[str, Any]:
        result = gate(self.name, self.settings, self.task)
        if self.cuda:
            torch.cuda.empty_cache()
        return result | {"environment": environment(self.settings.torch_device())}

    def warm(self) -> dict[str, Any]:
        """Build, compile and warm up; {"first_step_seconds", "graphs", "product_flops"}."""
        product = self._product()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        self.contestant = make(self.name, self.settings, self.task)
        first = self._wall(self._step)
        for _ in range(WARM - 1):
            self._step()
        self._wait()
        return {
            "first_step_seconds": first,
            "graphs": graph_count(),
            "product_flops": product,
            "parameters": sum(p.numel() for p in self.contestant.model.parameters()),
        }

    def block(self) -> dict[str, Any]:
        """Time one block; {"seconds": of each step, "loss": of the last}."""
        if self.cuda:
            marks = [torch.cuda.Event(enable_timing=True) for _ in range(BLOCK + 1)]
            marks[0].record()
            for mark in marks[1:]:
                loss = self._step()
                mark.record()
            torch.cuda.synchronize()
            seconds = [a.elapsed_time(b) / 1e3 for a, b in itertools.pairwise(marks)]
        else:
            seconds = []
            for _ in range(BLOCK):
                begin = time.process_time()
                loss = self._step()
                seconds.append(time.process_time() - begin)
        self.seconds += seconds
        return {"seconds": seconds, "loss": float(loss)}

    def finish(self) -> dict[str, Any]:
        """What is measured once: memory, probes, the untie, the matrix product again."""
        contestant = self.contestant
        out: dict[str, Any] = {"peak_memory_bytes": self._peak_memory()}
        if isinstance(contestant, Ours):
            out["probe"] = self._probe(contestant)
            if self.name == "a4":
                out["untie"] = self._untie(contestant)
        out["product_flops"] = self._product()
        return out

    def profile(self) -> dict[str, Any]:
        """Where a step's time goes: share of each operator, its parts left out, of 3 steps."""
        cuda = [torch.profiler.ProfilerActivity.CUDA] if self.cuda else []
        activities = [torch.profiler.ProfilerActivity.CPU, *cuda]
        with torch.profiler.profile(activities=activities) as found:
            for _ in range(PROFILED):
                self._step()
            self._wait()
        times = {
            event.key: event.self_device_time_total if self.cuda else event.self_cpu_time_total
            for event in found.key_averages()
        }
        total = sum(times.values())
        first = sorted(times, key=times.__getitem__, reverse=True)[:LISTED]
        return {"profile": {name: times[name] / total for name in first}}

    def _step(self) -> torch.Tensor:
        assert self.contestant is not None
        loss = self.contestant.step(self.index)
        self.index += 1
        return loss

    def _probe(self, ours: Ours) -> dict[str, Any]:
        """Cost of a gradient probe and of the weight statistics logged with it, in steps.

        The first probe of a process comes before the ones that count: it fills caches.
        """
        costs: list[float] = []
        graphs = graph_count()
        for _ in range(4):
            plain = self._clock(self._step)
            with_probe = self._clock(lambda: self._probed_step(ours))
            costs.append((with_probe - plain) / statistics.median(self.seconds))
        steps = statistics.median(costs[1:])
        return {"steps": steps, "all": costs, "graphs": graph_count() - graphs}

    def _probed_step(self, ours: Ours) -> None:
        ours.step(self.index, measure=True)
        weight_energies(ours.engine.stack)
        self.index += 1

    def _untie(self, ours: Ours) -> dict[str, Any]:
        """Time the step that unties and the ones after it, each to its end.

        The stall is what these take beyond the usual, until a step is usual again.
        """
        before = statistics.median(self._clock(self._step) for _ in range(5))
        graphs = graph_count()
        ours.untie_before(self.index)
        layout = ours.engine.stack.layout
        seconds = [self._clock(self._step) for _ in range(AFTER)]
        if ours.engine.stack.layout == layout:
            raise RuntimeError("a4: was not untied")
        usual = statistics.median(seconds[-5:])
        count = next((i for i, value in enumerate(seconds) if value <= NEAR * usual), len(seconds))
        return {
            "seconds": seconds,
            "usual_before": before,
            "usual_after": usual,
            "stall_seconds": sum(seconds[:count]) - count * usual,
            "steps_until_usual": count,
            "graphs": graph_count() - graphs,
        }

    def _product(self) -> float:
        """FLOP/s of a large matrix product of random numbers: what the device can do at best."""
        size, repeats = (8192, 20) if self.cuda else (1024, 10)
        kind = torch.bfloat16 if self.settings.precision == "bfloat16" else torch.float32
        device = self.settings.torch_device()
        draw = torch.Generator(device=device).manual_seed(0)
        left, right = (
            torch.randn(size, size, generator=draw, device=device, dtype=kind) for _ in range(2)
        )
        out = torch.empty_like(left)
        for _ in range(3):
            torch.mm(left, right, out=out)
        seconds = self._clock(lambda: [torch.mm(left, right, out=out) for _ in range(repeats)])
        return 2.0 * size**3 * repeats / seconds

    def _clock(self, work: Any) -> float:
        """Seconds of ``work`` to its end: of the process on the CPU, of the wall on CUDA."""
        if self.cuda:
            return self._wall(work)
        begin = time.process_time()
        work()
        return time.process_time() - begin

    def _wall(self, work: Any) -> float:
        self._wait()
        begin = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - begin

    def _wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def _peak_memory(self) -> int:
        if self.cuda:
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
