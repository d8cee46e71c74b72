"""A model to start from, grown: more layers, a larger width, by a method of swe.transforms."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator

from bert.model.anatomy import bert_anatomy, require_same_heads
from bert.model.config import BertConfig, named_config
from bert.model.encoder import Bert, build_bert
from bert.model.start import untied_weights
from bert.study.fitting import FIT_STEPS, Fitting
from bert.study.starting import HEAD, Source
from swe.base.config import require
from swe.base.errors import ConfigError, FunctionChangedError
from swe.sharing.seeds import derive_seed
from swe.transforms.carry import grown_weights
from swe.transforms.fitted import LEARNED
from swe.transforms.growth import METHODS

ROWS, TOKENS = 2, 16
"""Random rows on which a claim that the function stays is checked."""
WITHIN = 1e-3
"""Share of the largest logit by which float32 may move one: LayerNorm adds up in another order,
over tens of layers. A unit that is wrong moves logits by tenths."""


def grown(
    source: Source, size: str | None, method: str, seed: int, *, fit: int | None, device: str
) -> Source:
    """Return the source's model grown to ``size``; what it draws comes from ``seed``.

    A map that is fitted, for ``fit`` updates on ``device``, is left to the run, which has the data.

    Its note says whether the function stayed and by how much a logit moved. ConfigError for a
    method or a size that it cannot be grown to; FunctionChangedError where a method that keeps the
    function did not.
    """
    known = [*METHODS, *LEARNED]
    require(method in known, "--grow", method, f"one of {', '.join(known)}")
    fits = " or ".join(LEARNED)
    require(fit is None or method in LEARNED, "--fit-steps", fit, f"with --grow {fits}")
    if size is None:
        raise ConfigError(f"--grow {method}: say to what, with --size, such as --size 12x768")
    small = source.config
    large = larger(small, size)
    if method in LEARNED:
        steps = FIT_STEPS if fit is None else fit
        fitting = Fitting(method=method, large=large, seed=seed, steps=steps, device=device)
        fitting.learned(small)  # what it cannot grow is refused now
        words = (
            f"to be grown by {method} from {_name(small)} to {_name(large)}, fitted for {steps} "
            "updates: another function"
        )
        return replace(source, fitting=fitting, note=words)
    draw = Generator().manual_seed(derive_seed(seed, "grow", method))
    planned = METHODS[method].plan(bert_anatomy(small), bert_anatomy(large), draw)
    if "hidden" in planned.eps:
        large = replace(large, layer_norm_eps=small.layer_norm_eps * planned.eps["hidden"])
    model = build_bert(large, seed)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    weights = grown_weights(planned.lines, untied_weights(source.model), shapes)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not (source.headless and name.startswith(HEAD)):
                parameter.copy_(weights[name])
    words = f"grown by {method} from {_name(small)} to {_name(large)}"
    moved = None if source.headless else largest_move(source.model, model)
    if planned.why_not:
        by = "" if moved is None else f" (a logit moved by {moved:.1e} of the largest)"
        words += f": another function{by}, as {planned.why_not}"
    elif moved is not None:
        if not moved <= WITHIN:
            raise FunctionChangedError(
                f"--grow {method}: a logit moved by {moved:.1e} of the largest, though the "
                "function should stay"
            )
        words += f": the same function, logits within {moved:.1e} of the largest"
    return replace(source, model=model, note=words)


def larger(small: BertConfig, size: str) -> BertConfig:
    """Return the shape asked for, with heads as wide as the small model's, and as many inner units
    to a unit: a folder need not have four."""
    asked, each = named_config(size), small.hidden // small.heads
    require(
        asked.hidden % each == 0,
        "--size",
        size,
        f"a width that heads of {each} fit, to be grown to",
    )
    inner, rest = divmod(small.intermediate * asked.hidden, small.hidden)
    allowed = f"a width with {small.intermediate} inner units to {small.hidden}, as it has them"
    require(rest == 0, "--size", size, allowed)
    large = replace(
        small,
        layers=asked.layers,
        hidden=asked.hidden,
        heads=asked.hidden // each,
        intermediate=inner,
    )
    require_same_heads(small, large)
    return large


def _name(config: BertConfig) -> str:
    return f"{config.layers}x{config.hidden}"


@torch.no_grad()
def largest_move(small: Bert, large: Bert) -> float:
    """Return the largest change of a logit on random rows, as a share of the largest logit.

    Of tokens alone: an imported head has a bias of -1e4 on the rows that pad its vocabulary, beside
    which any change is small.
    """
    draw = Generator().manual_seed(0)
    tokens = min(TOKENS, small.config.positions)
    rows = torch.randint(small.config.vocabulary, (ROWS, tokens), generator=draw)
    places = torch.arange(tokens).expand(ROWS, tokens)
    modes = small.training, large.training
    known = small.config.vocabulary
    before, after = (model.eval()(rows, places)[:, :known] for model in (small, large))
    small.train(modes[0])
    large.train(modes[1])
    return float((after - before).abs().max() / before.abs().max())
