"""Pairs of sentences with a label, made from claims: MRPC, QQP, STS-B, QNLI, RTE, MNLI."""

import random

from writing.statements import Claim, draw, draw_rival, draw_sibling, draw_stranger

ENTAILMENT, NEUTRAL, CONTRADICTION, NOT_ENTAILMENT = "entailment", "neutral", "contradiction", "not_entailment"


def paraphrase(label: str, rng: random.Random) -> tuple[str, str]:
    """MRPC: one claim said in two ways, or two claims."""
    claim = draw(rng)
    first, second, *_ = claim.statements(rng)
    return first, second if label == "1" else _other(claim, rng).statements(rng)[0]


def same_question(label: str, rng: random.Random) -> tuple[str, str]:
    """QQP: one question asked in two ways, or two questions."""
    claim = draw(rng)
    first, second, *_ = claim.questions(rng)
    return first, second if label == "1" else _other(claim, rng).questions(rng)[0]


def similarity(label: str, rng: random.Random) -> tuple[str, str]:
    """STS-B: from 5, the same words but for a phrase, down to 0, nothing in common."""
    claim = draw(rng)
    first, second, *_ = claim.statements(rng)
    stranger = draw_stranger(claim, rng).statements(rng)[0]
    match round(float(label)):
        case 5:
            return first, f"{rng.choice(_ASSURANCES)} {claim.within(first)}"
        case 4:
            return first, second
        case 3:
            return first, f"{second} {stranger}"
        case 2:
            return first, draw_rival(claim, rng).statements(rng)[0]
        case 1:
            return first, claim.neutral(rng)
    return first, stranger


_ASSURANCES = ("As everybody knows,", "It is true that", "We have learned that")


def answered(label: str, rng: random.Random) -> tuple[str, str]:
    """QNLI: a question, and a sentence that answers it or another one."""
    claim = draw(rng)
    told = claim if label == ENTAILMENT else _other(claim, rng)
    return claim.questions(rng)[0], told.statements(rng)[0]


def follows(label: str, rng: random.Random) -> tuple[str, str]:
    """RTE: two statements, and a third one that follows from one of them or not."""
    claim, beside = draw(rng), draw(rng)
    first, second, *_ = claim.statements(rng)
    told = [first, beside.statements(rng)[0]]
    premise = " ".join(rng.sample(told, 2))
    if label == ENTAILMENT:
        return premise, second
    return premise, rng.choice(
        (claim.neutral(rng), _falsified(claim, rng), draw_stranger(claim, rng).statements(rng)[0])
    )


def inference(label: str, rng: random.Random, tables: tuple[str, ...]) -> tuple[str, str]:
    """MNLI: what is said again, what is denied, or what is left open."""
    claim = draw(rng, tables)
    first, second, *_ = claim.statements(rng)
    if label == ENTAILMENT:
        return first, second
    if label == NEUTRAL:
        return first, claim.neutral(rng)
    return first, rng.choice((claim.negation(), claim.negation(), _falsified(claim, rng)))


def _other(claim: Claim, rng: random.Random) -> Claim:
    """Another subject with the same claim, the same subject with another one, or nothing in common."""
    kind = rng.choice(("rival", "sibling", "stranger"))
    if kind == "sibling" and (sibling := draw_sibling(claim, rng)):
        return sibling
    return draw_rival(claim, rng) if kind == "rival" else draw_stranger(claim, rng)


def _falsified(claim: Claim, rng: random.Random) -> str:
    return claim.falsified(draw_rival(claim, rng)).statements(rng)[0]
