"""A command line on which no value replaces another in silence and an error takes one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse's, but for two things.

    An option of one value that is given two different ones is refused, where argparse takes the
    last; and what is wrong is told in one line, without the usage, which ``--help`` prints. Options
    whose values add up are those of ``evidence.commands.add_several``.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.given: dict[str, Any] = {}
        """Values of this parsing, by option; groups of options have the same registry."""
        self.register("action", None, _Once)
        self.register("action", "store", _Once)

    def parse_known_args(self, *arguments: Any, **options: Any) -> Any:
        """As argparse does; every parsing begins anew."""
        self.given.clear()
        return super().parse_known_args(*arguments, **options)

    def error(self, message: str) -> NoReturn:
        """End the program with status 2 and one line."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (--help tells what there is)\n")


class _Once(argparse._StoreAction):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if self.option_strings and isinstance(parser, Parser):
            before = parser.given.setdefault(self.option_strings[0], values)
            if before is not values and before != values:  # not a number is not itself
                raise argparse.ArgumentError(
                    self, f"given twice, {before} and {values}: leave one of them out"
                )
        super().__call__(parser, namespace, values, option_string)
