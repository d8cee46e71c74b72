"""Every encoder, decoder and encoder-decoder class that the installed transformers offers."""

from __future__ import annotations

import inspect
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.models.auto import modeling_auto as auto

from benchmarks.foreign.route import Case, seed
from benchmarks.foreign.tiny import IMAGE, LENGTH, WORDS, tiny
from benchmarks.foreign.ways import Found, attempted, generates_alike

HEADS = ("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "MASKED_LM")
LARGEST = 8_000_000
"""Parameters; what is still larger when it was made tiny is not tried."""
SECONDS = 90
"""For one class, all its lists and ways."""


@cache
def classes() -> dict[str, list[str]]:
    """Return {family: names of its classes}: with a language head, else the bare model."""
    found: dict[str, list[str]] = {}
    for head in (f"MODEL_FOR_{name}_MAPPING_NAMES" for name in HEADS):
        for kind, name in getattr(auto, head).items():
            found.setdefault(kind, []).append(name)
    for kind, name in auto.MODEL_MAPPING_NAMES.items():
        if kind not in found:
            found[kind] = [name[0] if isinstance(name, list | tuple) else name]
    return {kind: list(dict.fromkeys(names)) for kind, names in sorted(found.items())}


class NotTried(Exception):
    """No tiny model of the class could be made or run; says why."""


def inputs_of(model: Any) -> Iterator[dict[str, Tensor]]:
    """Yield inputs that a model might take, richest first; none that its ``forward`` has not."""
    taken = inspect.signature(model.forward).parameters
    yield from (one for one in _inputs(model.config) if one.keys() <= taken.keys())


def _inputs(config: Any) -> Iterator[dict[str, Tensor]]:
    source = torch.Generator().manual_seed(1)
    ids = torch.randint(WORDS // 2, WORDS, (2, LENGTH), generator=source)
    after = torch.randint(WORDS // 2, WORDS, (2, LENGTH - 2), generator=source)
    vision = getattr(config, "vision_config", None) or config
    channels = getattr(vision, "num_channels", None) or getattr(vision, "in_channels", None) or 3
    size = getattr(vision, "image_size", None)
    sizes = [size if isinstance(size, int) else IMAGE, IMAGE, 2 * IMAGE]
    images = [torch.rand((2, channels, n, n), generator=source) for n in dict.fromkeys(sizes)]
    mels = getattr(config, "num_mel_bins", None) or getattr(config, "feature_size", None) or 16
    frames = 2 * getattr(config, "max_source_positions", 32)
    audio = [
        {"input_features": torch.rand((2, mels, frames), generator=source)},
        {"input_features": torch.rand((2, 32, mels), generator=source)},
        {"input_values": torch.rand((2, 2000), generator=source)},
        {"input_values": torch.rand((2, 1, 2000), generator=source)},
        {"input_values": torch.rand((2, 32, mels), generator=source)},
    ]
    decoder = {"decoder_input_ids": after}
    if config.is_encoder_decoder or getattr(config, "decoder", None) is not None:
        yield {"input_ids": ids, **decoder}
        yield from ({**one, **decoder} for one in audio)
    yield from ({"input_ids": ids, "pixel_values": image} for image in images)
    yield {"input_ids": ids}
    yield {"input_ids": ids, "bbox": torch.zeros((2, LENGTH, 4), dtype=torch.long)}
    yield from ({"pixel_values": image} for image in images)
    yield from audio
    yield {"pixel_values": torch.rand((2, 2, channels, IMAGE, IMAGE), generator=source)}


def loss_of(model: Any, inputs: dict[str, Tensor], outputs: Sequence[str]) -> Tensor:
    """Mean squared distance of the named outputs from fixed random tensors."""
    out = model(**{name: value.clone() for name, value in inputs.items()})
    parts = []
    for name in outputs:
        source = torch.Generator().manual_seed(len(name))
        target = torch.randn(out[name].shape, generator=source)
        kept = torch.isfinite(out[name]) & (out[name].abs() < 1e4)  # masked scores are no output
        parts.append(torch.where(kept, out[name].float() - target, 0).square().mean())
    return torch.stack(parts).sum()


def outputs_of(model: Any, inputs: dict[str, Tensor]) -> list[str]:
    """Names of the outputs that have a gradient. Raises NotTried where there is none."""
    out = model(**{name: value.clone() for name, value in inputs.items()})
    found = [
        name
        for name, value in out.items()
        if isinstance(value, Tensor) and value.requires_grad and value.is_floating_point()
    ]
    if not found:
        raise NotTried("no output has a gradient")
    return found


def case_of(kind: str, name: str) -> tuple[Case, dict[str, Tensor]]:
    """Return the class's case and its inputs. Raises NotTried, of the narrowest model."""
    try:
        return _case_of(kind, name, 1)
    except NotTried as error:
        try:
            return _case_of(kind, name, 2)
        except NotTried:
            raise error from None


def _case_of(kind: str, name: str, times: int) -> tuple[Case, dict[str, Tensor]]:
    made = getattr(transformers, name)

    def configured() -> Any:
        config = tiny(kind, times, decoder=name.endswith(("LMHeadModel", "ForCausalLM")))
        if name.endswith("ForCausalLM") and not isinstance(config, made.config_class or ()):
            config = config.get_text_config()
        return config

    def build() -> Any:
        seed(0)
        return made(configured()).train()

    try:
        with torch.device("meta"):
            size = sum(p.numel() for p in made(configured()).parameters())
    except Exception as error:
        raise NotTried(f"no tiny configuration: {line_of(error)}") from error
    if size > LARGEST:
        raise NotTried(f"no tiny configuration: {size} parameters")

    try:
        model = build()
    except Exception as error:
        raise NotTried(f"no tiny configuration: {line_of(error)}") from error
    told = ""
    for inputs in inputs_of(model):
        try:
            seed(0)
            outputs = outputs_of(model, inputs)
            seed(0)
            loss = loss_of(model, inputs, outputs)
            loss.backward()
        except Exception as error:
            told = told or line_of(error)
            continue
        if torch.isfinite(loss):
            return Case(build, partial(loss_of, inputs=inputs, outputs=outputs)), inputs
        told = told or "the loss is not finite"
    raise NotTried(f"no inputs found: {told}")


def line_of(error: BaseException) -> str:
    """Say an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


class OutOfTime(BaseException):
    """The class takes too long."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise OutOfTime after so many seconds."""

    def stop(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def noted(row: dict[str, Any], attempts: Callable[[], list[Found]]) -> dict[str, Any]:
    """Fill a row of the record: every list of a model, or why it was not tried."""
    row |= {"lists": []}
    try:
        with warnings.catch_warnings(), within(SECONDS):
            warnings.simplefilter("ignore")
            row["lists"] = [one.to_json() for one in attempts()]
            if not row["lists"]:
                row["not_tried"] = "no list of layers"
    except NotTried as error:
        row["not_tried"] = str(error)
    except OutOfTime:
        row["not_tried"] = "takes too long"
    except Exception as error:
        row["not_tried"] = line_of(error)
    return row


def judged(kind: str, name: str) -> dict[str, Any]:
    """Return one class's row of the record."""
    return noted({"family": kind, "class": name}, partial(_attempts, kind, name))


def _attempts(kind: str, name: str) -> list[Found]:
    """Try every list of a class, and where it was taken what it generates."""
    case, inputs = case_of(kind, name)
    found = attempted(case)
    for one in found:
        if one.way and not one.wrong:
            try:
                one.generates = _generates(case, inputs, one)
            except Exception as error:
                one.wrong = f"while it generates, {line_of(error)}"
    return found


def _generates(case: Case, inputs: dict[str, Any], found: Found) -> str:
    model = case.build()
    if not getattr(model, "can_generate", lambda: False)():
        return ""
    given: dict[str, Any] = {k: v for k, v in inputs.items() if k != "decoder_input_ids"}
    if "decoder_input_ids" in inputs:
        given["decoder_start_token_id"] = 1
    return generates_alike(case, found.where, given, **found.options)
