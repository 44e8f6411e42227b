"""What the DistilBERT paper claims (Sanh et al., 2019, section 4), beside what was measured here.

A claim holds if the student does as well as the published one, measured alike but for the speed, which is in batches.
Of the GLUE mean that keeps 97 % with WNLI, which is in no mean here, and 96 % without; its 40 % are without the
masked-LM heads, which are counted here.
"""

from dataclasses import dataclass

from bert_distillation.report_words import NOT_RUN, PARAMETERS, share
from bert_distillation.summary import Summary

SMALLER = 1 - PARAMETERS["DistilBERT"] / PARAMETERS["BERT-base"]
FASTER = 1.60
OTHERWISE = "in batches; the paper's is one text at a time, on a CPU"  # how the speed is measured here


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
    kept, published = (summary.mean.retention, summary.mean.published_retention) if summary.mean else (None, 0.0)
    size = summary.student_to_teacher("num_parameters")
    speed = summary.student_to_teacher("tokens_per_second")
    return [
        Claim(
            "keeps 97% of BERT's GLUE mean",
            NOT_RUN if kept is None else f"{share(kept)}, DistilBERT on the same tasks {share(published)}",
            None if kept is None else round(kept, 2) >= round(published, 2),
        ),
        Claim(
            "is 40% smaller",
            NOT_RUN if size is None else f"{1 - size:.1%} fewer parameters, DistilBERT with its head {SMALLER:.1%}",
            None if size is None else round(1 - size, 2) >= round(SMALLER, 2),
        ),
        Claim(
            "is 60% faster",
            NOT_RUN if speed is None else f"{speed:.2f} times the tokens a second {OTHERWISE}",
            None if speed is None else round(speed, 2) >= FASTER,
        ),
    ]
