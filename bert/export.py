"""Write a trained model as a folder for the stock transformers classes: the command.

``python -m bert.export RUN OUT``; what is written and why is in ``bert.huggingface.export``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bert.data.text import DataError
from bert.huggingface.export import describe, export_model, find_vocabulary, load_run
from swe.base.errors import CheckpointError, ConfigError


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: export one run folder; 0, or 2 with one line that says what was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m bert.export",
        description="Write a trained model as a folder for the stock transformers classes.",
    )
    parser.add_argument("run", type=Path, help="run folder (config.json, checkpoints/)")
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument("--vocab", type=Path, help="its vocab.txt (default: found beside the run)")
    parser.add_argument("--untie", action="store_true", help="untied copies, no ALBERT")
    parser.add_argument("--unfinished", action="store_true", help="take the last checkpoint")
    options = parser.parse_args(arguments)
    try:
        model, digest = load_run(options.run, unfinished=options.unfinished)
        vocabulary = find_vocabulary(options.run, digest, options.vocab)
        family = export_model(model, vocabulary, options.out, untie=options.untie)
    except (ConfigError, DataError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {describe(model, family)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
