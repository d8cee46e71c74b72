"""What the command lines that train BERT have in common: text, settings, device, speed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch

from bert.data.options import TEXT_HELP, add_reading
from bert.study.language_study import LANGUAGES
from bert.study.rival_methods import SUBMODEL_SHARE
from evidence.begun import OTHER_CODE
from evidence.commands import add_settings, add_several, number_or_text
from swe.base.config import require
from swe.base.errors import ConfigError
from swe.run.attention import CHOICES
from swe.run.compiling import CompileMode
from swe.run.speed import SpeedConfig
from swe.sharing.dropping import LayerDrop, ProgressiveLayerDrop
from swe.sharing.similarity import LayerSimilarity
from swe.sharing.submodels import SubmodelTraining


def add_speed_options(parser: argparse._ActionsContainer) -> None:
    """Add the options of a process, such as --compile, which :func:`speed_of` reads."""
    parser.add_argument(
        "--compile",
        choices=("auto", *get_args(CompileMode)),
        default="auto",
        help="torch.compile: blocks (auto on CUDA), the whole loss (model; anew at every untie,\n"
        "one process only), or none (auto on the CPU)",
    )
    parser.add_argument(
        "--attention",
        choices=CHOICES,
        default="auto",
        help="attention kernel: measured at the start (auto: on CUDA and in bfloat16), torch's\n"
        "own (default), or one by name; a run keeps the one that it began with",
    )
    parser.add_argument(
        "--prefetch",
        type=int,
        metavar="N",
        help="batches built ahead by a thread (default: 2 on CUDA, 0 on the CPU)",
    )
    parser.add_argument(
        "--checkpoint-minutes",
        type=float,
        metavar="M",
        help="save every run that often, beside every fifth of it and every untie (default: 10,\n"
        "or as many more as keep saving under 2 %% of the time)",
    )


def add_other_code(parser: argparse._ActionsContainer, anew: bool = True) -> None:
    """Add --other-code; without ``anew`` for a command whose folder has its name from the user."""
    parser.add_argument(
        "--other-code",
        choices=OTHER_CODE if anew else OTHER_CODE[:2],
        default=OTHER_CODE[0],
        help="runs that another version of the code left half done: refuse to go on (default),\n"
        + ("continue them all the same, or begin anew beside them" if anew else "or continue"),
    )


def speed_of(given: argparse.Namespace, device: str, *, adopted: bool = False) -> SpeedConfig:
    """Return the speed options for ``device``. ConfigError for impossible values.

    ``adopted``: a model's layers are in a list of its own, which nothing of ours runs.
    """
    chosen = given.compile
    if chosen == "auto":
        chosen = "blocks" if device == "cuda" and not adopted else "none"
    if chosen == "blocks" and adopted:
        raise ConfigError("--compile = 'blocks': must be none or model with encoder=transformers")
    try:
        return SpeedConfig(
            compile=chosen,
            attention=given.attention,
            prefetch=given.prefetch,
            checkpoint_minutes=given.checkpoint_minutes,
        )
    except ConfigError as error:
        raise ConfigError(f"--{error}") from None


def add_study_options(parser: argparse._ActionsContainer) -> None:
    """Add what names the text and the settings of a study."""
    add_several(
        parser,
        "--text",
        type=Path,
        metavar="PATH",
        help=f"{TEXT_HELP}; or a token store\n"
        "(default: the documentation of the installed scientific packages)",
    )
    parser.add_argument(
        "--vocab",
        type=Path,
        help="a BERT vocab.txt or tokenizer.json (default: trained on the text)",
    )
    add_reading(parser)
    parser.add_argument("--size", help='tiny, mini, small, base, large or "LxH" such as 12x64')
    parser.add_argument("--steps", type=int, help="updates of every run")
    add_settings(
        parser,
        "any other field of bert.study.arms.StudyConfig, such as tau=0.2 unit=2\n"
        "placement=post arms=baseline,swe-f; rows are those of all ranks together",
    )


def _first_submodels(layers: float) -> SubmodelTraining:
    """The stage that bert2BERT begins with, for a run that begins as its grown model."""
    require(layers.is_integer(), "layers", layers, "an integer, at least 1")
    return SubmodelTraining(layers=int(layers), until=SUBMODEL_SHARE)


RIVALS: dict[str, tuple[str, Callable[..., Any], str, str, str]] = {
    "layer_drop": (
        "dropping",
        LayerDrop,
        "rate",
        "RATE",
        "leave every layer out of an update with that probability",
    ),
    "progressive_layer_drop": (
        "dropping",
        ProgressiveLayerDrop,
        "theta",
        "THETA",
        "leave later layers out more often, and all of them as the run goes on: the last one\n"
        "runs with a probability that falls from 1 to THETA (paper: 0.5)",
    ),
    "sub_models": (
        "dropping",
        _first_submodels,
        "layers",
        "LAYERS",
        "train the top LAYERS of a random sub-model in each of the first updates, an eighth of\n"
        "them: the stage of bert2BERT that follows --grow aki",
    ),
    "similarity": (
        "similarity",
        LayerSimilarity,
        "strength",
        "STRENGTH",
        "draw neighbouring layers' weights together: STRENGTH times one minus their mean cosine",
    ),
}
"""Of each option the field of TrainConfig, what makes it, of what, and the help."""


def add_rivals(parser: argparse._ActionsContainer) -> None:
    """Add what a run may have beside its schedule, which :func:`rivals_of` reads."""
    for option, (_, _, _, value, text) in RIVALS.items():
        parser.add_argument(f"--{option.replace('_', '-')}", type=float, metavar=value, help=text)


def rivals_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return fields of TrainConfig by name. ConfigError for impossible values, or two for one."""
    found: dict[str, Any] = {}
    for option, (field, kind, own, _, _) in RIVALS.items():
        value = getattr(given, option)
        if value is None:
            continue
        if field in found:
            same = [
                f"--{name.replace('_', '-')}" for name, one in RIVALS.items() if one[0] == field
            ]
            raise ConfigError(f"{', '.join(same)}: give one of them alone")
        try:
            found[field] = kind(**{own: value})
        except ConfigError as error:
            raise ConfigError(f"--{option.replace('_', '-')}: {error}") from None
    return found


def add_languages(parser: argparse._ActionsContainer) -> None:
    """Add --language, the languages of the verb ``languages``."""
    add_several(
        parser,
        "--language",
        choices=LANGUAGES,
        help="of verbs languages (default: composition) and rivals (default: both, or --text);\n"
        "no text is read; --set language.symbols=12 language.eps=0.5 ... sets its own fields\n"
        "(bert/languages), others those of the study: taus=0.2,0.6",
    )


def add_budgets(parser: argparse._ActionsContainer) -> None:
    """Add --budgets of the verb ``rivals``, which :func:`budgets_of` reads."""
    parser.add_argument(
        "--budgets",
        metavar="B,...",
        help="of verb rivals: multiples of the baseline's FLOPs, 1 among them, such as 0.5,1,2:\n"
        "all methods run at 1, then the best six at the others (default: 1 alone)",
    )


def budgets_of(given: argparse.Namespace) -> list[float] | None:
    """Return the budgets, ascending; None without the option. ConfigError for another form."""
    if given.budgets is None:
        return None
    found = [number_or_text(text) for text in given.budgets.split(",")]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in found):
        raise ConfigError(f"--budgets {given.budgets}: must be numbers between commas, as 0.5,1,2")
    return sorted({float(one) for one in found})


def add_device(parser: argparse._ActionsContainer) -> None:
    """Add --device, which :func:`device_of` reads."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def device_of(given: argparse.Namespace) -> str:
    """Return "cpu" or "cuda". ConfigError for a device that is not here."""
    if given.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device = 'cuda': must be auto or cpu, no CUDA device is here")
    if given.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(given.device)


def device_name(device: str) -> str | None:
    """Return the CUDA device's name; None for the CPU, whose name the environment says."""
    return torch.cuda.get_device_name() if device == "cuda" else None
