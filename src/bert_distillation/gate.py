"""Whether a predictor of lower precision may stand in for the one in single precision, judged on real sentences."""

import json
from dataclasses import asdict, dataclass

from bert_distillation.cloze import ClozeRow
from bert_distillation.fill_mask import FillMask

AGREEMENT, TOP_1_LOSS = 0.98, 0.005  # at least, and at most
BATCH_MATES = 200  # rows whose answers are compared with those they have alone


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How near a predictor comes to the one in single precision."""

    rows: int
    agreement: float  # share of the rows with the same likeliest word
    top_1_fp32: float  # share of the rows whose word is the likeliest
    top_1: float
    depends_on_batch: int  # rows whose likeliest word is another when they are alone

    @property
    def passes(self) -> bool:
        """Whether nobody would notice."""
        lost = round((self.top_1_fp32 - self.top_1) * self.rows)  # rows, as a difference of shares is never exact
        near = self.agreement >= AGREEMENT and lost <= TOP_1_LOSS * self.rows
        return near and not self.depends_on_batch

    def __str__(self) -> str:
        return (
            f"the likeliest word agrees in {self.agreement:.1%} of {self.rows} sentences (needed: {AGREEMENT:.0%}), "
            f"top-1 is {self.top_1:.1%} after {self.top_1_fp32:.1%} (allowed loss: {100 * TOP_1_LOSS:g} points), and "
            f"{self.depends_on_batch} answers depend on what else is in the batch (allowed: 0)"
        )

    def to_json(self) -> str:
        """What `export` keeps beside the graph."""
        return json.dumps(asdict(self) | {"passes": self.passes}, indent=1) + "\n"


def judge(reference: FillMask, candidate: FillMask, rows: list[ClozeRow]) -> Verdict:
    """Ask both predictors all sentences, and the candidate some of them one by one."""
    texts = [row.input_string for row in rows]
    titles = [reference.word_pieces.encode([row.title])[0] for row in rows]
    expected, found = (_words(predictor, texts) for predictor in (reference, candidate))
    alone = [_words(candidate, [text])[0] for text in texts[:BATCH_MATES]]
    return Verdict(
        rows=len(rows),
        agreement=_share([one == other for one, other in zip(expected, found, strict=True)]),
        top_1_fp32=_share([[word] == title for word, title in zip(expected, titles, strict=True)]),
        top_1=_share([[word] == title for word, title in zip(found, titles, strict=True)]),
        depends_on_batch=sum(one != other for one, other in zip(alone, found[:BATCH_MATES], strict=True)),
    )


def _words(predictor: FillMask, texts: list[str]) -> list[int | None]:
    tokens = [candidates[0].token for candidates in predictor.predict(texts)]
    return [predictor.word_pieces.tokenizer.token_to_id(token) for token in tokens]


def _share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)
