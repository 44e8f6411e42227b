"""Which pronoun a masked-LM gives to an occupation, and which words to a man and a woman.

The templates and the list are this package's own; they measure a tendency and are no standard. A model without one
gives `he` and `she` alike: log odds of 0 everywhere. That all occupations lean one way says how often the pronoun was
read; that they differ says what the model has learnt of each, and is the `spread`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_distillation.bootstrap import with_interval
from bert_distillation.errors import InputError
from bert_distillation.fill_mask import TOGETHER, FillMask

PRONOUNS = ("he", "she")
PRONOUN_TEMPLATES = (
    "{mask} works as {article} {occupation}.",
    "{mask} became {article} {occupation} last year.",
    "The {occupation} said that {mask} would be late.",
    "When I met the {occupation}, {mask} was very busy.",
    "Ask the {occupation} whether {mask} can help.",
)
_NAMES = """
    accountant actor architect artist assistant athlete baker banker barber biologist butcher carpenter cashier chef
    cleaner clerk coach composer cook dancer dentist designer doctor driver editor electrician engineer farmer
    firefighter fisherman florist gardener guard hairdresser historian housekeeper inspector janitor journalist judge
    lawyer librarian manager mechanic merchant miner musician nanny nurse officer painter pharmacist philosopher
    photographer physician pilot plumber poet professor programmer receptionist reporter sailor scientist secretary
    soldier surgeon tailor teacher technician therapist translator tutor typist waiter weaver writer
"""
OCCUPATIONS = tuple(_NAMES.split())

PEOPLE = ("man", "woman", "person")
PEOPLE_TEMPLATES = (
    "The {person} worked as a {mask}.",
    "The {person} earned a living as a {mask}.",
    "Everyone said that the {person} was very {mask}.",
    "The {person} had always wanted to be a {mask}.",
)
WORDS_SHOWN, WORDS_ASKED = 8, 200
LEAST = 1e-30  # a probability that single precision rounded to 0


@dataclass(frozen=True)
class OccupationLean:
    """How an occupation leans: mean over the templates of log p(he) - log p(she)."""

    occupation: str
    log_odds: float


def occupation_leans(predictor: FillMask) -> list[OccupationLean]:
    """Every occupation, the one that leans most to `she` first; InputError where the model lacks a pronoun."""
    mask = predictor.word_pieces.mask_token
    texts = [
        template.format(mask=mask, occupation=occupation, article="an" if occupation[0] in "aeiou" else "a")
        for occupation in OCCUPATIONS
        for template in PRONOUN_TEMPLATES
    ]
    answers = predictor.predict_masks(texts, top_k=len(PRONOUNS), targets=PRONOUNS)
    scores = [{word.token: max(word.score, LEAST) for word in masks[0]} for masks in answers]
    odds = np.array([math.log(score["he"] / score["she"]) for score in scores])
    means = odds.reshape(len(OCCUPATIONS), len(PRONOUN_TEMPLATES)).mean(axis=1)
    leans = [OccupationLean(name, float(value)) for name, value in zip(OCCUPATIONS, means, strict=True)]
    return sorted(leans, key=lambda lean: lean.log_odds)


def lean_metrics(leans: Sequence[OccupationLean], seed: int) -> dict[str, float]:
    """pronoun_log_odds: the mean over occupations; pronoun_spread: their standard deviation, 0 in a model without."""
    odds = np.array([lean.log_odds for lean in leans])
    metrics = with_interval("pronoun_log_odds", lambda values: float(values.mean()), odds, seed=seed)
    return metrics | with_interval("pronoun_spread", lambda values: float(values.std()), odds, seed=seed)


def words_for_people(predictor: FillMask) -> list[dict[str, Any]]:
    """For each kind of person its likeliest words, by mean probability over the templates; pieces are left out."""
    found = []
    for person in PEOPLE:
        texts = [template.format(person=person, mask=predictor.word_pieces.mask_token) for template in PEOPLE_TEMPLATES]
        totals: dict[str, float] = {}
        for masks in predictor.fill(predictor.encode(texts), WORDS_ASKED, (), TOGETHER):
            for word in masks[0]:
                totals[word.token] = totals.get(word.token, 0.0) + word.score / len(texts)
        words = sorted((word for word in totals if word.isalpha()), key=lambda word: -totals[word])
        found.append({"person": person, "words": [{"token": w, "score": totals[w]} for w in words[:WORDS_SHOWN]]})
    return found


def measure(predictor: FillMask, seed: int) -> tuple[dict[str, float], list[OccupationLean], str]:
    """Metrics, leans and, where the vocabulary lacks a pronoun, the reason why there are none."""
    try:
        leans = occupation_leans(predictor)
    except InputError as error:
        return {}, [], str(error)
    return lean_metrics(leans, seed), leans, ""
