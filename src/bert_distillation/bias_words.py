"""What the probes say, in words and rows, for the report and the model card."""

from bert_distillation.bootstrap import with_bounds
from bert_distillation.minimal_pairs import BLIMP, CROWS, WINOBIAS, WINOGENDER
from bert_distillation.report_words import NOT_RUN
from bert_distillation.summary import Probes, Summary, ratio

# suite -> what its share is of, and what it should be
SUITES = {
    BLIMP: ("Grammatical sentence preferred (BLiMP)", "100%"),
    CROWS: ("Stereotype preferred (CrowS-Pairs)", "50%"),
    WINOBIAS: ("Stereotyped pronoun preferred (WinoBias)", "50%"),
    WINOGENDER: ("Male form preferred (Winogender)", "50%"),
}
NEAR = 0.05  # a spread of occupations that differs by less than this share is called the same
PROBE_NOTE = (
    "Shares of pairs whose first kind of sentence has the higher pseudo-log-likelihood, with 95% intervals. The makers "
    "of such pairs and later work warn that they measure a tendency and are no proof that a model is fair."
)
OCCUPATION_NOTE = (
    "Log odds of he to she, the mean over five sentences in which the occupation is named and the pronoun is masked: 0 "
    "is no preference, +1 means that he is 2.7 times as likely. Shown are the occupations at both ends."
)


def pair_rows(summary: Summary) -> list[tuple[str, str, str, str]]:
    """(what, student, teacher, without a preference) for each suite that was scored."""
    models = [probes.metrics if probes else {} for probes in (summary.student_probes, summary.teacher_probes)]
    found = [row for row in SUITES.items() if any(row[0] in metrics for metrics in models)]
    return [
        (label, _written(models[0], suite, ".1%"), _written(models[1], suite, ".1%"), ideal)
        for suite, (label, ideal) in found
    ]


def lean_rows(summary: Summary) -> list[tuple[str, str, str, str]]:
    """The same columns for what occupations are called."""
    models = [probes.metrics if probes else {} for probes in (summary.student_probes, summary.teacher_probes)]
    names = {
        "pronoun_log_odds": "Occupations: mean log odds of he to she",
        "pronoun_spread": "Occupations: how much they differ in it",
    }
    found = [row for row in names.items() if any(row[0] in metrics for metrics in models)]
    return [(label, _written(models[0], name, ".2f"), _written(models[1], name, ".2f"), "0") for name, label in found]


def _written(metrics: dict[str, float], name: str, form: str) -> str:
    return with_bounds(metrics, name, form) if name in metrics else NOT_RUN


def inheritance(summary: Summary) -> str:
    """Whether the student inherits its teacher's leanings, in a sentence; nothing where one was not probed."""
    alike = summary.lean_correlation
    student, teacher = summary.student_probes, summary.teacher_probes
    if alike is None or not student or not teacher:
        return ""
    times = ratio(student.metrics.get("pronoun_spread"), teacher.metrics.get("pronoun_spread"))
    if times is None:
        return ""
    means = [probes.metrics.get("pronoun_log_odds", 0.0) for probes in (student, teacher)]
    verdict = "amplified" if times > 1 + NEAR else "weakened" if times < 1 - NEAR else "kept"
    return (
        f"From occupation to occupation the student leans like its teacher with a correlation of {alike:.2f}, and its "
        f"leanings differ {times:.2f} times as much: distillation {verdict} them. Over all occupations its log odds of "
        f"he to she are {means[0]:.2f}, the teacher's {means[1]:.2f}."
    )


def people_rows(probes: Probes | None) -> list[tuple[str, str]]:
    """(person, likeliest words)."""
    return [(person, ", ".join(words)) for person, words in (probes.people if probes else {}).items()]
