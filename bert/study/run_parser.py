"""The command line of one pre-training run: its options, and what they ask for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from bert.study.arms import ARMS, OBJECTIVES, STUDIES
from bert.study.fitting import FIT_STEPS
from bert.study.language_study import LANGUAGES
from bert.study.options import (
    add_device,
    add_other_code,
    add_rivals,
    add_speed_options,
    add_study_options,
)
from bert.study.run_options import Options, options_of
from bert.study.staged import MSLT
from evidence.commands import add_minutes
from swe.base.options import Parser
from swe.sharing.placement import Mode
from swe.transforms.fitted import LEARNED
from swe.transforms.growth import METHODS


def parser(description: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    line = Parser(
        prog="python -m bert.pretrain",
        description=description,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    line.add_argument("--arm", choices=ARMS, required=True, help="the schedule, by name")
    line.add_argument("--seed", type=int, default=0, help="of weights, order, masks, dropout")
    line.add_argument("--out", type=Path, required=True, help="folder of the runs and the data")
    line.add_argument(
        "--scale", choices=STUDIES, default="small", help="study whose settings are the defaults"
    )
    add_study_options(line)
    line.add_argument(
        "--objective",
        choices=OBJECTIVES,
        help="what is predicted: masked tokens (default), or the next token with causal attention",
    )
    line.add_argument(
        "--language", choices=LANGUAGES, help="no text, but a language of known truth"
    )
    line.add_argument(
        "--extend",
        action="store_true",
        help="take the run that is there on to more --steps: from its last checkpoint the rate\n"
        "climbs, over as many updates as its warm-up, to the line of the longer run",
    )
    line.add_argument(
        "--start-from",
        type=Path,
        metavar="FOLDER",
        help="start with the weights of a run, an export or a Hugging Face folder, with its\n"
        "shape and its vocabulary",
    )
    line.add_argument(
        "--grow",
        choices=[*METHODS, *LEARNED, MSLT],
        help="grow the model of --start-from to --size first: fpi, aki, net2net, lemon in width,\n"
        "stacking, interpolation, identity in depth, each both where both differ; or by a\n"
        "map that is fitted on the run's own loss: ligo, mango; or as the run goes on, in\n"
        "depth, with the layers added alone in training: mslt",
    )
    line.add_argument(
        "--fit-steps",
        type=int,
        metavar="N",
        help=f"updates of the fit of ligo and mango (default {FIT_STEPS})",
    )
    line.add_argument(
        "--start-tie",
        metavar="HOW",
        help="what layers that share start with there: average (default), their mean, or the\n"
        "number of the one that all take, from 0",
    )
    line.add_argument(
        "--core",
        type=int,
        metavar="RANK",
        help="have products of that rank in the place of the layers' matrices at first, and\n"
        "multiply them out (CoRe): drawn, or with --start-from the nearest to its matrices",
    )
    add_rivals(line)
    add_device(line)
    line.add_argument(
        "--parallel",
        choices=get_args(Mode),
        default="none",
        help="none: one process; ddp: whole weights on each rank; fsdp: slices (FSDP2)",
    )
    add_speed_options(line)
    add_other_code(line, anew=False)
    add_minutes(line)
    line.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="for the data")
    return line


def parse(arguments: Sequence[str], description: str | None = None) -> Options:
    """Read the command line; ConfigError for impossible values, status 2 for a wrong form."""
    return options_of(parser(description).parse_args(arguments))
