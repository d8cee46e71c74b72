"""Fine-tuned scores of a table's arms: differences to the baseline, task by task, the paper beside.

From the file of ``bert.finetune.arms`` alone: a picture, rows for a CSV, cells for a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evidence.results import Scores, reading
from figures.base import forest, style
from figures.base.tables import markdown, write_csv
from figures.base.wording import count, fixed, interval, listing, plain

COMMAND = "python -m bert.finetune.arms table1 --task TASK --data FOLDER"
TITLES = {
    "table1": "Fine-tuning the arms of Table 1",
    "table2": "Fine-tuning the arms of Table 2",
    "table3": "Fine-tuning the arms of Table 3",
    "table4": "Fine-tuning the arms of Table 4",
    "speedup": "Fine-tuning baselines and main arms",
    "sweep": "Fine-tuning the main arms of one machine's study",
    "headline": "Fine-tuning the arms of a deeper or wider model",
}
TASKS = {
    "cola": "CoLA",
    "sst-2": "SST-2",
    "mrpc": "MRPC",
    "sts-b": "STS-B",
    "qqp": "QQP",
    "mnli": "MNLI-m",
    "mnli dev-mm": "MNLI-mm",
    "mnli ax-full": "AX",
    "qnli": "QNLI",
    "rte": "RTE",
    "wnli": "WNLI",
    "sick": "SICK",
    "squad-1.1": "SQuAD 1.1",
    "squad-2.0": "SQuAD 2.0",
}
"""By name of the task, or of a further part of it."""
HEADINGS = {
    "task": "Task",
    "metric": "Score",
    "constant": "Best constant answer",
    "arm": "Arm",
    "rate": "Peak rate",
    "n": "n",
    "values": "Every pre-training seed",
    "score": "Mean",
    "difference": "Minus baseline",
    "verdict": "Verdict",
    "degenerate": "Degenerate",
    "paper": "Paper",
}


def label(task: str) -> str:
    """Return "MNLI-mm" for "mnli dev-mm", "SICK, test" for "sick test"."""
    name, _, part = task.partition(" ")
    return TASKS.get(task) or f"{TASKS.get(name, name)}, {part}"


def _title(scores: Scores) -> str:
    if not scores.table:
        return "Fine-tuning the main arms (on record)"
    return TITLES[scores.table]


@style.styled
def draw_scores(out: Path, found: Sequence[Scores]) -> list[str]:
    """Draw each and write its CSV file; return the names of the figures."""
    for scores in found:
        with reading(scores.path):
            figure, caption = _panels(scores.data), _caption(scores.data)
            write_csv(out / "tables" / f"{scores.name.replace('_', '-')}.csv", rows(scores.data))
        style.save(
            figure,
            out,
            scores.name,
            title=_title(scores),
            caption=caption,
            alt="One panel a task with a row an arm: difference of the score to the baseline's in "
            "points, dots for pre-training seeds, marker and bar for mean and interval, and the "
            "paper's difference as an open diamond where it has one.",
            sources=[scores.source],
        )
    return [scores.name for scores in found]


def compared(found: dict[str, Any], task: str) -> list[str]:
    """Return the arms of a task that stand against the baseline, in the table's order."""
    arms = found["tasks"][task]["arms"]
    return [arm for arm in found["order"] if "difference" in arms.get(arm, {})]


def paper_gain(found: dict[str, Any], task: str, arm: str) -> float | None:
    """Return the paper's score of the arm minus its baseline's, in points."""
    printed = found["paper"].get(task, {})
    if arm not in printed or arm == found["reference"]:
        return None
    return float(printed[arm] - printed[found["reference"]])


def _panels(found: dict[str, Any]) -> Figure:
    tasks = [task for task in found["task_order"] if compared(found, task)]
    alone = [task for task in found["task_order"] if task not in tasks]
    rows = [len(compared(found, task)) for task in tasks] or [1]
    figure = style.new_figure(0.9 + sum(0.9 + 0.3 * n for n in rows))
    panels = figure.subplots(len(rows), 1, squeeze=False, height_ratios=[n + 1.4 for n in rows])
    for axes, task in zip(panels[:, 0], tasks, strict=False):
        _panel(axes, found, task)
    if not tasks:
        panels[0, 0].set_title(f"{listing(map(label, alone))}: one arm, nothing to compare")
    panels[-1, 0].set_xlabel("points minus baseline (right is better)")
    printed = any(paper_gain(found, t, a) is not None for t in tasks for a in compared(found, t))
    words = "paper, BERT-large, one pre-training run" if printed else ""
    style.legend_above(figure, forest.handles(words), columns=2)
    return figure


def _panel(axes: Axes, found: dict[str, Any], task: str) -> None:
    line, arms = found["tasks"][task], compared(found, task)
    base = line["arms"][found["reference"]]["values"]
    for row, arm in enumerate(arms):
        look, entry = style.arm_look(arm), line["arms"][arm]
        gap = entry["difference"]
        seeds = [value - base[seed] for seed, value in entry["values"].items()]
        forest.seeds(axes, row, seeds, look)
        forest.bar(axes, row, gap, look)
        forest.paper(axes, row, paper_gain(found, task, arm))
        forest.word(axes, row, entry["verdict"])
    mean = line["arms"][found["reference"]]["score"]["mean"]
    constant = "" if line["baseline"] is None else f", constant {fixed(line['baseline'], 1)}"
    axes.set_title(f"{label(task)}: {_metric(line)}\nbaseline {fixed(mean, 1)}{constant}")
    axes.axvline(0.0, color=style.INK, linewidth=1.0)
    forest.name_rows(axes, [style.arm_look(arm).label for arm in arms])
    axes.margins(x=0.08)


def _metric(line: dict[str, Any]) -> str:
    return str(line["metric"]).replace("_", " ")


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row a task and arm, raw values; None: not there."""
    out = []
    for task in found["task_order"]:
        line = found["tasks"][task]
        for arm in [arm for arm in found["order"] if arm in line["arms"]]:
            entry = line["arms"][arm]
            gap = entry.get("difference", {})
            out.append(
                {
                    "task": task,
                    "metric": line["metric"],
                    "best_constant": line["baseline"],
                    "arm": arm,
                    "rate": entry["rate"],
                    "rate_at_edge": entry["rate_at_edge"],
                    "n": entry["score"]["n"],
                    "score": entry["score"]["mean"],
                    "score_low": entry["score"]["low"],
                    "score_high": entry["score"]["high"],
                    "values": " ".join(f"{value:g}" for value in entry["values"].values()),
                    "difference": gap.get("mean"),
                    "difference_low": gap.get("low"),
                    "difference_high": gap.get("high"),
                    "verdict": entry.get("verdict"),
                    "fine_tunes": entry["fine_tunes"],
                    "degenerate": entry.get("degenerate"),
                    "paper_score": found["paper"].get(task, {}).get(arm),
                }
            )
    return out


def cells(found: dict[str, Any]) -> list[dict[str, str]]:
    """Return the rows in words, keyed as HEADINGS."""
    out = []
    for row in rows(found):
        line = found["tasks"][row["task"]]
        entry = line["arms"][row["arm"]]
        reference = row["arm"] == found["reference"]
        gap = "—" if row["difference"] is None else interval(entry["difference"], 1)
        flagged = row["degenerate"]
        out.append(
            {
                "task": label(row["task"]),
                "metric": _metric(line),
                "constant": "—" if line["baseline"] is None else fixed(line["baseline"], 1),
                "arm": style.arm_look(row["arm"]).label,
                "rate": _rate(row["rate"]) + (", edge" if row["rate_at_edge"] else ""),
                "n": str(row["n"]),
                "values": ", ".join(fixed(value, 1) for value in entry["values"].values()),
                "score": fixed(row["score"], 1),
                "difference": gap,
                "verdict": "reference" if reference else row["verdict"],
                "degenerate": "—" if flagged is None else f"{flagged} of {row['fine_tunes']}",
                "paper": "—" if row["paper_score"] is None else fixed(row["paper_score"], 1),
            }
        )
    return out


def page(found: dict[str, Any]) -> str:
    """Return the table with what it rests on, as markdown."""
    return f"{markdown(HEADINGS, cells(found))}\n\n{_setting(found)}\n\n{_made(found)}"


def _rate(rate: float) -> str:
    return plain(rate, 1 if float(f"{rate:.0e}") == rate else 2)


def _recipe(line: dict[str, Any]) -> str:
    recipe, choosing = line["recipe"], line["choosing_seeds"]
    rates = listing(_rate(rate) for rate in recipe["rates"])
    chosen = (
        f"the better of {rates} on the development part, chosen for each arm by pre-training seed "
        f"{listing(choosing)}"
        if len(recipe["rates"]) > 1
        else rates
    )
    if len(recipe["rates"]) > 2:
        chosen = chosen.replace("the better of", "the best of")
    seeds = "1 fine-tune" if recipe["seeds"] == 1 else f"the mean of {recipe['seeds']} fine-tunes"
    return (
        f"epochs {recipe['epochs']:g}, batch {recipe['batch']}, at most "
        f"{recipe['max_length']} tokens, peak rate {chosen}, a model's score is {seeds}"
    )


def _setting(found: dict[str, Any]) -> str:
    study, base = found["study"], found["pretraining"][found["reference"]]
    grouped: dict[str, list[str]] = {}
    for task in found["task_order"]:
        grouped.setdefault(_recipe(found["tasks"][task]), []).append(label(task))
    recipes = "; ".join(f"{listing(tasks)}: {recipe}" for recipe, tasks in grouped.items())
    absent = [label(task) for task in found["paper"] if task not in found["tasks"]]
    return (
        f"BERT {study['size']}, {study['placement'].capitalize()}-LN, pre-trained for "
        f"{count(base['steps'])} updates ({count(base['tokens'])} tokens; arms named x2 twice "
        f"that). n counts pre-training seeds; differences are paired by them, with 95 % t "
        f"intervals, each its own. Recipes: {recipes}. {found['rule']}"
        + (f" The paper's tasks that were not run: {listing(absent)}." if absent else "")
    )


def _made(found: dict[str, Any]) -> str:
    lines: Sequence[dict[str, Any]] = list(found["tasks"].values())
    devices = sorted({str(line["environment"]["device"]) for line in lines})
    commits = sorted({str(line["environment"]["commit"])[:10] for line in lines})
    commands = dict.fromkeys(
        found["tasks"][task]["environment"]["command"] for task in found["task_order"]
    )
    shown = "; ".join(f"`{command}`" for command in commands)
    return f"Measured on {listing(devices)}, commit {listing(commits)}: {shown}."


def _caption(found: dict[str, Any]) -> str:
    gaps = [
        f"{label(task)}: "
        + ", ".join(
            f"{style.arm_look(arm).label} {interval(entry['difference'], 1)}"
            f" (n = {entry['difference']['n']}"
            + (
                f", {entry['degenerate']} of {entry['fine_tunes']} degenerate"
                if entry.get("degenerate")
                else ""
            )
            + f"), {entry['verdict']}"
            for arm in compared(found, task)
            for entry in [found["tasks"][task]["arms"][arm]]
        )
        for task in found["task_order"]
        if compared(found, task)
    ]
    return (
        "Scores in points minus the baseline's with the same pre-training seed, mean and 95 % "
        f"paired t interval. {'; '.join(gaps)}. {_setting(found)} Development scores are "
        "optimistic, being the best of several rates on the same examples, for every arm alike."
    )
