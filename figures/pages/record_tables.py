"""Records in words: a table each, with what was measured and where below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from figures.base.tables import COMPARISON_HEADINGS, comparison_cells, comparison_rows, markdown
from figures.base.wording import ended


def comparison(record: dict[str, Any]) -> str:
    """A study's arms, one a row."""
    table = markdown(COMPARISON_HEADINGS, comparison_cells(comparison_rows(record)))
    return "\n\n".join([table, *([ended(record).strip()] if ended(record) else [])])


def times(record: dict[str, Any]) -> str:
    """Where a run of paper_repro.py took its time."""
    rows = [{"step": step, "seconds": f"{value:.0f}"} for step, value in record["steps"].items()]
    rows.append({"step": "all", "seconds": f"{record['total']:.0f}"})
    table = markdown({"step": "Step", "seconds": "Seconds"}, rows)
    where = (
        f"Measured on {record['device']} with {record['cores']} processes of one thread, commit "
        f"{record['commit'][:10]}, `{record['command']}`."
    )
    return f"{table}\n\n{where}"


def corpus(record: dict[str, Any]) -> str:
    """The packages whose documentation is the default corpus."""
    headings = {"name": "Package", "version": "Version", "licence": "Licence", "size": "MB"}
    rows = [
        {
            name: str(entry[name]).removeprefix("License :: OSI Approved :: ")
            for name in ("name", "version", "licence")
        }
        | {"size": f"{entry['bytes'] / 1e6:.1f}"}
        for entry in record["packages"]
    ]
    total = (
        f"{record['bytes'] / 1e6:.1f} MB of text, {record['words'] / 1e6:.2f} M words, "
        f"{record['documents']} documents (one a module), {record['paragraphs']} paragraphs, no "
        "paragraph twice."
    )
    return f"{markdown(headings, rows)}\n\n{total}"


def stores(record: dict[str, Any]) -> str:
    """What token stores took to build."""
    headings = {
        "text": "Text (MB)",
        "length": "Tokens in a row",
        "documents": "Documents",
        "words": "Words",
        "tokens": "Tokens",
        "rows": "Rows",
        "jobs": "Jobs",
        "seconds": "Seconds",
        "processor": "Processor seconds",
        "memory": "Peak memory of all processes",
    }
    rows, notes = [], []
    for build in record["builds"]:
        manifest, memory = build["manifest"], build["peak_memory_bytes"]
        parts = manifest["parts"].values()
        total = {
            name: sum(part[name] for part in parts)
            for name in ("documents", "words", "tokens", "rows")
        }
        megabytes = f"{build['text_bytes'] / 1e6:.0f}"
        if "note" in build:
            notes.append(f" {megabytes} MB: {build['note']}")
        rows.append(
            {
                "text": megabytes,
                "length": str(manifest["length"]),
                "documents": f"{total['documents']}, {manifest['documents']}",
                "words": f"{total['words'] / 1e6:.1f} M",
                "tokens": f"{total['tokens'] / 1e6:.1f} M",
                "rows": str(total["rows"]),
                "jobs": str(build["jobs"]),
                "seconds": f"{build['seconds']:.0f}",
                "processor": f"{build['processor_seconds']:.0f}",
                "memory": f"{memory['sum'] / 2**20:.0f} MiB ({memory['processes']})",
            }
        )
    where = sorted({build["host"]["device"] for build in record["builds"]})
    return f"{markdown(headings, rows)}\n\nMeasured on {'; '.join(where)}.{''.join(notes)}"


def guards(record: dict[str, Any]) -> str:
    """What the guards cost of a run."""
    headings = {
        "model": "Model",
        "update": "Update",
        "guards": "Guards",
        "share": "Share of the run",
    }
    rows = [
        {
            "model": row["model"],
            "update": f"{1000 * row['update_seconds']:.0f} ms",
            "guards": f"{row['guards_in_updates']:.1f} updates "
            f"({row['least']:.1f} to {row['most']:.1f}, n = {row['n']})",
            "share": f"{100 * row['share_of_run']:.2f} %",
        }
        for row in record["rows"]
    ]
    where = (
        f"Of a run of {record['updates']} updates with one untie, processor time on "
        f"{record['environment']['device']}, one thread, torch {record['environment']['torch']}."
    )
    return f"{markdown(headings, rows)}\n\n{where}"


def language_arm(record: dict[str, Any]) -> str:
    """What an update of a language's arm costs, in the ways that there are."""
    headings = {"kind": "Update", "seconds": "Time", "share": "Of the eager one"}
    rows = [
        {
            "kind": row["kind"],
            "seconds": f"{1000 * row['seconds']:.0f} ms",
            "share": f"{row['of_eager']:.2f} ({row['least']:.2f}-{row['most']:.2f}), "
            f"n = {row['n']}",
        }
        for row in record["rows"]
    ]
    best = min(row["of_eager"] for row in record["rows"])
    met = "met" if best <= record["bar"] else "missed"
    where = (
        f"Processor time of one thread, {record['environment']['device']}, torch "
        f"{record['environment']['torch']}. The bar, {record['bar']} of the eager update, is {met}."
    )
    return f"{markdown(headings, rows)}\n\n{where}"


def belief_propagation(record: dict[str, Any]) -> str:
    """What the exact floor of the hierarchy language costs."""
    floor, update = (f"{1000 * record[f'{name}_seconds']:.0f} ms" for name in ("floor", "update"))
    return (
        f"The exact floor of {record['rows']} rows of {record['tokens']} tokens by belief "
        f"propagation: {floor} of processor time (n = {record['turns']}), "
        f"{100 * record['share']:.2f} % of an arm of the composition study ({record['updates']} "
        f"updates of {update}); the bar, set beforehand, is {100 * record['bar']:.0f} %. "
        f"{record['environment']['device']}, one thread."
    )


def memory(record: dict[str, Any]) -> str:
    """What tying saves in memory."""
    headings = {"what": "Bytes (GB)", "tied": "Tied", "untied": "Untied"}
    cases = record["cases"]

    def row(what: str, value: Callable[[dict[str, Any]], float]) -> dict[str, str]:
        return {"what": what} | {name: f"{value(cases[name]) / 1e9:.2f}" for name in cases}

    def part_row(part: str) -> dict[str, str]:
        return row(part, lambda case: case["bytes"][part])

    rows = [
        *map(part_row, ("parameters", "gradients", "optimizer")),
        row("sum, counted", lambda case: case["total_bytes"]),
        row("growth of the process, measured", lambda case: case["measured_growth_bytes"]),
    ]
    return f"{markdown(headings, rows)}\n\n{record['what'].capitalize()}. {_where(record)}"


def communication(record: dict[str, Any]) -> str:
    """Bytes that ranks average at an update."""
    headings = {
        "update": "Update",
        "layout": "Layout",
        "bytes": "MB averaged",
        "buckets": "Buckets",
    }
    rows = [
        {
            "update": str(u["update"]),
            "layout": u["layout"],
            "buckets": str(u["buckets"]),
            "bytes": f"{u['all_reduced_bytes'] / 1e6:.1f}",
        }
        for u in record["updates"]
    ]
    return (
        f"{markdown(headings, rows)}\n\nBERT-{record['size']}, {record['ranks']} ranks, "
        f"{record['what']}. {_where(record)}"
    )


def squad(record: dict[str, Any]) -> str:
    """The selected fine-tune on SQuAD."""
    chosen, recipe = record["selected"], record["recipe"]
    [row] = [
        row
        for row in record["rows"]
        if row["rate"] == chosen["rate"] and row["seed"] == chosen["submitted_seed"]
    ]
    headings = {
        "f1": "F1",
        "exact": "Exact match",
        "flag": "Degenerate",
        "train": "Windows learnt",
        "steps": "Updates",
        "dev": "Questions scored",
    }
    cells = {
        "f1": f"{row['scores']['f1']:.2f}",
        "exact": f"{row['scores']['exact_match']:.2f}",
        "flag": row["reason"] or "no",
        "train": str(row["rows"]),
        "steps": str(row["steps"]),
        "dev": str(record["data"]["dev"]["questions"]),
    }
    shape = record["model"]
    return (
        f"{markdown(headings, [cells])}\n\nA model of {shape['layers']} layers of width "
        f"{shape['hidden']}, {recipe['epochs']:g} epochs, windows of {recipe['max_length']} "
        f"tokens, peak rate {chosen['rate']:g}, n = {chosen['n']}. "
        f"`{record['environment']['command']}`. {_where(record)}"
    )


def _where(record: dict[str, Any]) -> str:
    here = record["environment"]
    return f"{here['device']}, torch {here['torch']}, commit {here['commit'][:10]}."


def forecasts(record: dict[str, Any]) -> str:
    """How often the forecast and simpler rules were right, by length of the rehearsals."""
    parts = []
    for scores in record["scores"]:
        unseen = [name for name in scores["truths"] if name in record["unseen"]]
        families = [name for name in scores["truths"] if name != "all"]
        headings = {"rule": "Rule", "sign": "Sign", "tau": "Best tau", "size": "Size"}
        headings |= {"regret": "Regret, decades"}
        headings |= {
            name: f"Sign, {name}{' (never seen)' if name in unseen else ''}" for name in families
        }
        rows = [
            {"rule": rule}
            | {mark: _right(by["all"][mark]) for mark in ("sign", "tau", "size")}
            | {"regret": f"{by['all']['regret']:.2f}"}
            | {name: _right(by[name]["sign"]) for name in families}
            for rule, by in sorted(scores["rules"].items(), key=lambda one: one[0] != "forecast")
        ]
        truths = ", ".join(f"{word} {count}" for word, count in scores["truths"]["all"].items())
        parts.append(
            f"Rehearsals of {scores['share']:.2%} of the updates and of half of that; "
            f"{scores['cells']} cells, in which sharing {truths}:\n\n{markdown(headings, rows)}"
        )
    where = record["measured"]
    parts.append(
        f"Cells measured on {where['device']}, commit {where['commit'][:10]}, "
        f"`{where['command']}`; the calibration's at commit {record['fitted']['commit'][:10]}, "
        f"`{record['fitted']['command']}`."
    )
    return "\n\n".join(parts)


def _right(mark: dict[str, int]) -> str:
    return f"{mark['right']} of {mark['of']}"


def stopping(record: dict[str, Any]) -> str:
    """The fitted untie rule beside the cosine rule, by kind, kinds known and left out."""
    headings = {
        "family": "Kind",
        "cells": "Cells",
        "cosine": "Cosine rule",
        "fixed": f"Always {record['fixed']:.0%}",
    }
    splits = record["splits"]
    for name in splits:
        headings |= {name: f"Fitted, {name}", f"{name} gap": "Minus cosine rule, 95 %"}
    rows = []
    for family, first in next(iter(splits.values())).items():
        unseen = " (never seen)" if family in record["unseen"] else ""
        row = {"family": f"{family}{unseen}", "cells": str(first["cells"])}
        row |= {name: f"{first[name]:.2f}" for name in ("cosine", "fixed")}
        for name, split in splits.items():
            found = split[family]
            gap = found["difference"]
            row[name] = f"{found['fitted']:.2f}"
            row[f"{name} gap"] = (
                f"{gap['mean']:+.2f} ({gap['low']:+.2f} to {gap['high']:+.2f}): {found['verdict']}"
            )
        rows.append(row)
    here = record["environment"]
    expected = ", ".join(f"{name} {gap:+.2f}" for name, gap in record["expected"].items())
    return (
        f"{markdown(headings, rows)}\n\nDecades above the best tau, mean over "
        f"{record['networks']} runs a cell. Differences expected: {expected}. "
        f"`{here['command']}`, commit {here['commit'][:10]}, on the cells above."
    )
