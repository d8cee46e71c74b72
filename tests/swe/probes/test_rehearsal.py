"""A rehearsal is the user's own loop, bit for bit, and leaves no trace."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from swe.base.errors import ConfigError
from swe.probes.rehearsal import rehearse
from swe.probes.run import Run, no_decay
from swe.sharing.adopt import adopt
from swe.sharing.schedule import (
    AlwaysShared,
    EqualStart,
    NeverShared,
    Schedule,
    SweAdaptive,
    SweFixed,
    SweMultistage,
)
from tests.swe.probes.runs import Listed, Stacked, held, loss_of, make
from tests.swe.sharing.foreign.copies import loss_of as batch_loss
from tests.swe.sharing.foreign.models import DropPath, Model

UPDATES = 12
SCHEDULES: list[Schedule] = [
    NeverShared(),
    EqualStart(unit=2),
    AlwaysShared(),
    SweFixed(until=5),
    SweFixed(until=5, unit=2),
    SweAdaptive(interval=3, rho=1.0, patience=2),
    SweMultistage(interval=3, rho=0.9),
]


def value_of(model: nn.Module) -> float:
    with torch.no_grad(), torch.random.fork_rng():
        value = float(held(model))
    model.train()
    return value


def test_it_is_the_plain_loop_bit_for_bit() -> None:
    """Dropout included: what ``make`` leaves of the generator is what the loop goes on with."""
    run = make()
    for step in range(UPDATES):
        for group in run.optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / UPDATES)
        loss_of(run.model, step).backward()
        run.optimizer.step()
        run.optimizer.zero_grad()
    result = rehearse(make, NeverShared(), UPDATES)
    assert result.loss == value_of(run.model) != result.start_loss
    assert result.start_loss == value_of(make().model)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_it_is_the_loop_around_adopt_bit_for_bit(schedule: Schedule) -> None:
    """With clipping that bites, torch's own scheduler, and an evaluation after every update."""
    run = make()
    peaks = torch.optim.lr_scheduler.LambdaLR(run.optimizer, lambda t: 1 - t / UPDATES)
    swe = adopt(run.model, "layers", schedule, run.optimizer, UPDATES, clip_norm=0.5)
    expected, norms = [(0, value_of(run.model))], []
    for step in range(UPDATES):
        swe.begin_step(step, partial(loss_of, run.model, step))
        loss_of(run.model, step).backward()
        norms.append(float(swe.finish_gradients()))
        run.optimizer.step()
        run.optimizer.zero_grad()
        peaks.step()
        expected.append((step + 1, value_of(run.model)))
    assert max(norms) > 0.5
    found = rehearse(partial(make, clip_norm=0.5), schedule, UPDATES, evaluations=UPDATES)
    assert found.losses == tuple(expected)
    assert (found.start_loss, found.loss) == (expected[0][1], expected[-1][1])
    stacked = partial(make, Stacked, clip_norm=0.5)
    assert rehearse(stacked, schedule, UPDATES, evaluations=UPDATES).losses == found.losses


def test_evaluations_change_nothing_and_are_told() -> None:
    told: list[tuple[int, float]] = []
    many = rehearse(
        make,
        SweFixed(until=5),
        UPDATES,
        evaluations=5,
        notice=lambda t, loss: told.append((t, loss)),
    )
    few = rehearse(make, SweFixed(until=5), UPDATES, evaluations=1)
    assert [t for t, _ in many.losses] == [0, 2, 5, 7, 10, 12]
    assert told == list(many.losses)
    assert few.losses == (many.losses[0], many.losses[-1])
    assert not many.diverged


def test_a_rate_of_one_s_own() -> None:
    """At rate 0 in the second half the run stays where the first half ended."""
    half = partial(make, rate=lambda done: float(done < 0.5))
    cut = rehearse(half, NeverShared(), 8, evaluations=2)
    whole = rehearse(partial(make, rate=no_decay), NeverShared(), 4)
    assert cut.losses[1][1] == whole.loss
    assert cut.loss == cut.losses[1][1] != cut.start_loss


def test_a_tensor_as_rate_decays_in_place() -> None:
    def tensor_rate() -> Run:
        run = make()
        for group in run.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)
        return run

    expected = rehearse(make, SweFixed(until=5), UPDATES)
    found = rehearse(tensor_rate, SweFixed(until=5), UPDATES)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)  # float32 updates, other order


@pytest.mark.parametrize("schedule", [NeverShared(), SweFixed(until=3)], ids=str)
@pytest.mark.parametrize("peak", [1e30, math.inf])
def test_a_run_that_blows_up_has_diverged(schedule: Schedule, peak: float) -> None:
    """It ends there, and compares as worse than any other; the untie's own check is not reached."""
    result = rehearse(partial(make, peak=peak), schedule, UPDATES)
    assert result.diverged
    assert result.loss == math.inf > result.start_loss
    assert result.losses[-1][0] < UPDATES


def test_a_loss_that_is_nan_from_the_start() -> None:
    nan = partial(make, held=lambda model: math.nan)
    result = rehearse(nan, NeverShared(), 3)
    assert (result.losses, result.diverged) == (((0, math.inf),), True)


@pytest.mark.parametrize("fails", [False, True])
def test_no_random_state_is_left_behind(fails: bool) -> None:
    def meddling() -> Run:
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        return make()

    def failing(model: nn.Module, step: int) -> Tensor:
        if fails and step == 3:
            raise RuntimeError("no such batch")
        return loss_of(model, step)

    def states() -> list[Any]:
        numpy: Any = np.random.get_state()  # noqa: NPY002
        return [torch.get_rng_state().tolist(), random.getstate(), numpy[1].tolist(), numpy[2:]]

    torch.rand(3)
    before = states()
    try:
        rehearse(lambda: meddling_with(meddling, failing), SweFixed(until=2), 5)
        assert not fails
    except RuntimeError:
        assert fails
    assert states() == before


def meddling_with(begin: Any, loss: Any) -> Run:
    run = begin()
    return Run(model=run.model, layers="layers", optimizer=run.optimizer, loss=loss, held=run.held)


def unseeded() -> Run:
    model = Listed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Run(model=model, layers="layers", optimizer=optimizer, loss=loss_of, held=held)


def numpy_draws() -> Run:
    run = make()
    with torch.no_grad():
        next(run.model.parameters()).mul_(np.random.rand())  # noqa: NPY002
    return run


KEPT = make()


def stateful() -> Run:
    batches = iter(range(10**6))
    return make(loss=lambda model, step: loss_of(model, next(batches)))


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (unseeded, r"make: into\.weight is not the same at a second call; seed inside make"),
        (numpy_draws, r"make: into\.weight is not the same at a second call; seed inside make"),
        (lambda: KEPT, r"make: gave the same model twice; build the model inside"),
        (lambda: None, r"make\(\) = 'NoneType': must be a Run"),
        (stateful, r"loss: update 0 gave .*, then .*, on the same model; make the batch from"),
        (partial(make, loss=lambda model, step: 1.0), r"loss: returned float, must be a tensor of"),
        (partial(make, rate=lambda done: 0.5 - done), r"rate\(0\.555556\) = -0\.05\d*: must"),
    ],
)  # fmt: skip
def test_a_make_that_is_not_one_run(begin: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rehearse(begin, NeverShared(), 9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": "body"}, r"'body' is not in it; its lists: layers$"),
        ({"layers": Stacked().layers}, r"layers: this SharedStack is not in the model"),
        ({"loss": 1.0}, r"loss = 1\.0: must be a function"),
        ({"clip_norm": 0.0}, r"clip_norm = 0\.0: must be in \(0"),
        ({"optimizer": 3}, r"optimizer = 'int': must be a torch optimiser"),
        ({"optimizer": unseeded().optimizer}, r"optimizer: holds no parameter of the model"),
        ({"model": 3}, r"model = 'int': must be a torch module"),
    ],
)
def test_runs_that_cannot_begin(changes: dict[str, Any], message: str) -> None:
    run = make()
    fields = {name: getattr(run, name) for name in run.__dataclass_fields__}
    with pytest.raises(ConfigError, match=message):
        Run(**fields | changes)


def test_what_adopt_refuses_is_told() -> None:
    with pytest.raises(ConfigError, match="unit = 3: must be a divisor of depth 4"):
        rehearse(make, SweFixed(unit=3), UPDATES)
    with pytest.raises(ConfigError, match="unit = 3: must be a divisor of depth 4"):
        rehearse(partial(make, Stacked), SweFixed(unit=3), UPDATES)
    with pytest.raises(ConfigError, match="evaluations = 0"):
        rehearse(make, NeverShared(), UPDATES, evaluations=0)


def test_a_run_says_what_its_layers_keep() -> None:
    """Options of ``adopt`` reach it; without them such layers are refused."""

    def begun(**options: Any) -> Run:
        torch.manual_seed(0)
        model = Model(DropPath)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        return Run(
            model=model,
            layers="layers",
            optimizer=optimizer,
            loss=batch_loss,
            held=lambda net: batch_loss(net.eval(), 99),
            options=options,
        )

    found = rehearse(lambda: begun(per_layer=("drop_path",)), SweFixed(until=0.5), 4)
    assert not found.diverged
    with pytest.raises(ConfigError, match="tied layers must agree"):
        rehearse(begun, SweFixed(until=0.5), 4)
    with pytest.raises(ConfigError, match=r"options = \['where'\]: must be layers, per_layer"):
        begun(where="layers")
