"""Write a trained model as a folder for the stock transformers classes: the command.

``python -m bert.export RUN OUT``; what is written and why is in ``bert.huggingface.export``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bert.huggingface.export import (
    describe,
    export_model,
    find_vocabulary,
    load_run,
    trained_length,
)
from evidence.commands import ended
from swe.base.errors import ConfigError
from swe.base.interrupt import Stop
from swe.base.options import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Export one run folder; returns the exit status (see evidence.commands)."""
    parser = Parser(
        prog="python -m bert.export",
        description="Write a trained model as a folder for the stock transformers classes.",
    )
    parser.add_argument("run", type=Path, help="run folder (config.json, checkpoints/)")
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument("--vocab", type=Path, help="its vocab.txt (default: found beside the run)")
    parser.add_argument("--untie", action="store_true", help="untied copies, no ALBERT")
    parser.add_argument("--unfinished", action="store_true", help="take the last checkpoint")
    options = parser.parse_args(arguments)

    def work(late: Stop) -> None:
        if options.out.resolve() == options.run.resolve():
            raise ConfigError(f"OUT {options.out}: is the run itself; choose another folder")
        model, digest = load_run(options.run, unfinished=options.unfinished)
        vocabulary = find_vocabulary(options.run, digest, options.vocab)
        family = export_model(
            model,
            vocabulary,
            options.out,
            untie=options.untie,
            length=trained_length(options.run),
        )
        print(f"{options.out}: {describe(model, family)}")

    return ended("bert.export", work)


if __name__ == "__main__":
    sys.exit(main())
