"""What the DistilBERT paper claims (Sanh et al., 2019, section 4), beside what was measured here."""

from dataclasses import dataclass

from bert_distillation.report_words import NOT_RUN, share
from bert_distillation.summary import Summary

KEPT, SMALLER, FASTER = 0.97, 0.40, 1.60


@dataclass(frozen=True)
class Claim:
    """One claim; `holds` is None where it was not measured."""

    text: str
    measured: str
    holds: bool | None

    @property
    def verdict(self) -> str:
        """What became of it here."""
        return {None: NOT_RUN, True: "holds here", False: "does not hold here"}[self.holds]


def claims(summary: Summary) -> list[Claim]:
    """The three claims, as far as the inputs tell."""
    kept = summary.mean.retention if summary.mean else None
    size = summary.student_to_teacher("num_parameters")
    speed = summary.student_to_teacher("tokens_per_second")
    return [
        Claim("keeps 97% of BERT's GLUE mean", share(kept), None if kept is None else round(kept, 2) >= KEPT),
        Claim(
            "is 40% smaller",
            NOT_RUN if size is None else f"{1 - size:.1%} fewer parameters",
            None if size is None else round(1 - size, 2) >= SMALLER,
        ),
        Claim(
            "is 60% faster",
            NOT_RUN if speed is None else f"{speed:.2f} times the tokens a second",
            None if speed is None else round(speed, 2) >= FASTER,
        ),
    ]
