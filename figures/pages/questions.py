"""The report's questions: which claims each gathers, what answers it, and its pictures.

A claim stands under exactly one question (a test holds the table against the ledger). The verdict
over a question is its first claim's; the sentence is chosen by that verdict, so that another result
changes it by itself, and a verdict that no sentence was written for has the claim's own statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from evidence.claim import Verdict as V
from evidence.rivals import METHODS as RIVALS
from swe.base.errors import ResultError

Claims = Sequence[Mapping[str, str]]


OF_ANY: dict[V, str] = {
    V.OPEN: "Undecided: there are runs, and too few of them to tell.",
    V.PLATEAU: "These runs cannot tell: they ended before the layers had learnt anything.",
    V.NOT_RUN: "Not run.",
}
"""Sentences for what any question may come to."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One section of the page."""

    id: str
    """Its anchor."""
    heading: str
    claims: tuple[str, ...]
    """Ids; the first one's verdict answers the question."""
    answers: dict[V, str]
    """The sentence under the heading, by that verdict; OF_ANY has those of any question."""
    pictures: tuple[str, ...]
    """Names of its figures, or patterns of them; the first that was drawn is shown, the others are
    folded. Figures that its claims name belong to it too."""

    def answer(self, found: Claims) -> str:
        """The sentence; "" without the first claim's record."""
        for claim in found:
            if claim["id"] == self.claims[0]:
                plain = f"{claim['statement'].rstrip('.')}: {claim['verdict']}."
                return (OF_ANY | self.answers).get(V(claim["verdict"]), plain)
        return ""


QUESTIONS = (
    Question(
        id="bert",
        heading="Does SWE reach a better BERT?",
        claims=("TAB1-F", "TAB1-A", "TAB1-M", "TAB1-GAP", "EQUAL", "TAB2", "TAB4"),
        answers={
            V.HOLDS: "Yes: with the same seeds, batches and updates SWE-F ends lower than the "
            "baseline.",
            V.FAILS: "No: with the same seeds, batches and updates SWE-F does not end lower than "
            "the baseline.",
            V.NO_GAIN: "No difference to the baseline that the seeds can tell.",
            V.OPEN: "Undecided: the runs that left the plateau are too few.",
        },
        pictures=("study_*_sweep", "bert_sweep", "bert_comparison", "bert_table[124]",
                  "*_headline"),
    ),
    Question(
        id="half",
        heading="Does SWE reach the baseline’s model in half the updates?",
        claims=("SPEED",),
        answers={
            V.HOLDS: "Yes, against baselines that were trained and decayed at each budget.",
            V.FAILS: "No, against baselines that were trained and decayed at each budget.",
        },
        pictures=("study_*_speedup", "bert_speedup"),
    ),
    Question(
        id="tasks",
        heading="Do fine-tuned scores improve?",
        claims=("TAB1-TASKS",),
        answers={
            V.HELPS: "Yes, on most tasks.",
            V.HURTS: "No, they get worse on most tasks.",
            V.NO_GAIN: "No difference to the baseline that the pre-training seeds can tell.",
        },
        pictures=("study_finetune", "*_finetune", "finetune"),
    ),
    Question(
        id="scale",
        heading="Does the theory hold at scale?",
        claims=("SCALE-GAIN", "SCALE-TAU", "SCALE-CORR", "SCALE-CORR-TIED", "SCALE-DESCENT"),
        answers={
            V.HOLDS: "The sign of what tying gives is predicted from the gradients of a run that "
            "is never tied; the claims below say what else carries over and what does not.",
            V.FAILS: "The gradients of a run that is never tied do not predict what tying gives.",
            V.OPEN: "Undecided: the runs that left the plateau show no difference yet.",
        },
        pictures=("study_*_sweep_theory", "*_theory"),
    ),
    Question(
        id="faster",
        heading="Is sharing L times faster in deep linear networks?",
        claims=("ACC", "ACC-STEPS", "ACC-LIMITS", "REM1"),
        answers={
            V.FAILS: "No: the gain in time grows with the root of the depth, and far enough down "
            "sharing is the slower one.",
            V.HOLDS: "Yes, in time, L being the number of layers.",
        },
        pictures=("speedup", "steps"),
    ),
    Question(
        id="credit",
        heading="Who gets the credit, tying or the start?",
        claims=("OUR-CREDIT", "OUR-SAME", "TOY-TYING"),
        answers={
            V.REFUTED: "The start: without any tying, the same start gives the gain.",
            V.HOLDS: "Tying: the same start without it does not give the gain.",
        },
        pictures=("controls",),
    ),
    Question(
        id="theorems",
        heading="Do the theorems hold, and how tight are they?",
        claims=("THM1", "THM2", "THM3", "THM4", "LEM1", "THM2-EXACT", "THM2-PROSE", "THM3-STEP",
                "THM4-STEP"),
        answers={
            V.LIMITS: "They hold as bounds, loose ones: comparing them says little about which "
            "method is faster. Sharper ones are proved here.",
            V.HOLDS: "They hold.",
            V.FAILS: "Not as they are stated.",
        },
        pictures=("theorem_bounds", "descent_bounds", "admissible"),
    ),
    Question(
        id="beyond",
        heading="What of targets that sharing alone cannot reach?",
        claims=("OUR-STAGE2", "OUR-ODD"),
        answers={
            V.HOLDS: "Sharing first and unsharing then reaches them, at a rate that is certified "
            "for both stages.",
        },
        pictures=("common_component", "odd_targets"),
    ),
    Question(
        id="noise",
        heading="Does averaging gradient noise help?",
        claims=("NOISE-TYING", "NOISE-FLOOR", "SIGN-GAIN", "ADAM-GAIN"),
        answers={
            V.REFUTED: "Not once every arm has the same start and its own best step; at equal "
            "steps it speeds sign-like updates up.",
            V.HOLDS: "Yes, also at each arm’s own best step.",
        },
        pictures=("gradient_noise", "sign_descent", "adam_quadratic"),
    ),
    Question(
        id="when",
        heading="When should one untie?",
        claims=("QUAD-TAU", "QUAD-WIN", "QUAD-MEAN", "ADAM-TAU", "TOY-TAU", "TAB3"),
        answers={
            V.HOLDS: "On a quadratic, when the step has fallen to a size that can be computed: "
            "when the differences’ noise floor is down to their bias.",
        },
        pictures=("quadratic", "adam_unshare", "toy_predictions", "*_tau"),
    ),
    Question(
        id="staircase",
        heading="Is sharing faster where skills build on one another?",
        claims=("STAIR-NOISE", "STAIR-FLOW", "STAIR-LATE", "STAIR-TAU", "STAIR-DRAW",
                "STAIR-DRAW-NOISE", "STAIR-DRAW-ADAM", "STAIR-GROW", "STAIR-SHIFT",
                "STAIR-STREAM"),
        answers={
            V.HOLDS: "Hardly in plain gradient flow; under noisy sign-like steps, AdamW’s kind, by "
            "a factor that grows faster than the root of the number of layers.",
        },
        pictures=("staircase", "*_leaving", "*_shift", "*_behind"),
    ),
    Question(
        id="helps",
        heading="For which layers, and from which budget, does tying pay?",
        claims=("WHEN-HORIZON", "WHEN-SWITCH", "WHEN-COMMUTE", "WHEN-PATTERN", "WHEN-INTERLACE",
                "WHEN-NOISE", "WHEN-STIFF", "WHEN-STAGES",
                "WHEN-DEPTH"),
        answers={
            V.HOLDS: "For layers of different curvature with one optimum: from a budget that can "
            "be computed, and the more the longer the run. For exchangeable layers at one rate "
            "only noise can make it pay, and that gain shrinks with the budget.",
        },
        pictures=("when", "phases"),
    ),
    Question(
        id="rule",
        heading="Does SWE-A’s rule see that moment?",
        claims=("SCALE-RULE", "TOY-RULE", "OUR-RULE", "COR"),
        answers={
            V.FAILS: "No: the cosines of neighbours’ gradients do not tell what averaging costs.",
            V.HOLDS: "Yes: it ends as low as the best fixed moment.",
        },
        pictures=("alignment",),
    ),
    Question(
        id="toys",
        heading="Does SWE help where the answer is known?",
        claims=("TOY-SWE", "TOY-CORE", "TOY-GAIN", "TOY-PREMISE"),
        answers={
            V.NO_GAIN: "Not on residual students of a known teacher: no schedule ends below the "
            "network that never shares.",
            V.HELPS: "Yes, on residual students of a known teacher.",
        },
        pictures=("toy_teacher_student", "toy_deep_linear"),
    ),
    Question(
        id="unrolled",
        heading="Is there a network in which sharing wins?",
        claims=("TOY-UNROLLED", "TOY-LISTA", "TOY-HESSIAN", "TOY-DIAGONAL"),
        answers={
            V.HOLDS: "Yes: where every layer is a step of one iteration, SWE ends below the "
            "network that never shares and below the equal start.",
            V.LIMITS: "Yes, though not in every setting: where each layer is a step of one "
            "iteration, SWE ends below the network that never shares and below the equal start.",
            V.NO_GAIN: "Not among the unrolled networks tried.",
        },
        pictures=("toy_judged", "toy_hessian"),
    ),
    Question(
        id="forecast",
        heading="Can it be said before a run whether sharing will help?",
        claims=("FORECAST", "ONLINE"),
        answers={
            V.HOLDS: "Yes, on small models: sign, untie time and size are forecast as often as was "
            "asked.",
            V.LIMITS: "In part, on small models of kinds that the forecast knows; not on others.",
            V.FAILS: "Not as well as was asked: better than by guessing on models of kinds that "
            "the forecast knows, no better on others.",
        },
        pictures=("toy_forecast",),
    ),
    Question(
        id="languages",
        heading="Is there a BERT in which sharing wins?",
        claims=("LANG-COMPOSITION", "LANG-CELLS", "LANG-HIERARCHY", "LANG-STOCK"),
        answers={
            V.HOLDS: "Yes: on a language in which one skill serves every depth, SWE ends below the "
            "tuned baseline and below its own start.",
            V.LIMITS: "Yes, in some of the settings measured, not in every one: on a language in "
            "which one skill serves every depth, SWE ends below the tuned baseline and below its "
            "own start.",
            V.NO_GAIN: "Not on the language of one skill, at this budget.",
            V.FAILS: "Not on the language of one skill: sharing costs there too.",
        },
        pictures=("bert_composition*", "bert_hierarchy*", "study_*_composition*",
                  "study_*_hierarchy*", "study_factors"),
    ),
    Question(
        id="rivals",
        heading="Which method gets the most out of equal compute?",
        claims=tuple(rival.claim for rival in RIVALS.values()),
        answers={
            V.HOLDS: "On both made languages SWE-F ends below the baseline at equal FLOPs; the "
            "others are below it in the picture, or not.",
            V.LIMITS: "On one of the made languages SWE-F ends below the baseline at equal FLOPs; "
            "what the others do there is in the picture.",
            V.NO_GAIN: "SWE-F is no gain there at equal FLOPs; what the others do is in the "
            "picture.",
            V.FAILS: "Not SWE-F: at equal FLOPs it ends above the baseline; what the others do is "
            "in the picture.",
        },
        pictures=("study_*_rivals", "bert_rivals"),
    ),
    Question(
        id="moments",
        heading="What should become of Adam’s moments at the untie?",
        claims=("TOY-MOMENTS", "TOY-MOMENTS-SUM"),
        answers={
            V.NO_GAIN: "Copy them: rescaling gains nothing where gradients are averaged.",
            V.HELPS: "Rescale the second ones.",
        },
        pictures=("moments",),
    ),
)  # fmt: skip


def grouped(claims: Claims) -> dict[str, Claims]:
    """The records of each question, in the table's order. ResultError for one of no question."""
    by_id = {claim["id"]: claim for claim in claims}
    groups = {q.id: [by_id.pop(name) for name in q.claims if name in by_id] for q in QUESTIONS}
    if by_id:
        raise ResultError(
            f"claims.json: {', '.join(by_id)}: under no question of {__name__}; add it to one"
        )
    return dict(groups)


def allotted(figures: Iterable[str], groups: Mapping[str, Claims]) -> dict[str, list[str]]:
    """The figures of each question, each under the first that asks for it; "" has the rest.

    What a question lists goes before what another one's claims name.
    """
    left = sorted(figures)
    found: dict[str, list[str]] = {question.id: [] for question in QUESTIONS}
    listed = [(question.id, name) for question in QUESTIONS for name in question.pictures]
    named = [(key, claim["figure"]) for key, claims in groups.items() for claim in claims]
    for key, wanted in [*listed, *named]:
        found[key] += [name for name in left if fnmatch(name, wanted)]
        left = [name for name in left if not fnmatch(name, wanted)]
    return found | {"": left}
