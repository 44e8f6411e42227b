"""Pairs of sentences that differ in one respect, and which of the two a model prefers.

Read are the layouts of BLiMP (jsonl with `sentence_good` and `sentence_bad`), CrowS-Pairs (csv with `sent_more` and
`sent_less`), WinoBias (two text files a type, `pro_stereotyped_...` and `anti_...`) and Winogender (tsv with `sentid`
and `sentence`, a male and a female form of each). Preferred is the sentence that BLiMP calls grammatical or that a
stereotype would have; of Winogender it is the male form.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np

from bert_distillation.bootstrap import ratio_of_sums, with_interval
from bert_distillation.errors import InputError
from bert_distillation.malformed import MalformedRow, MalformedRows
from bert_distillation.pseudo_likelihood import encode, token_scores
from bert_distillation.subject import Subject
from bert_distillation.table_files import TableRow, kind_of, read_table
from bert_distillation.text_lines import printable, read_lines
from bert_distillation.tracking import STEP_FILE

BLIMP, CROWS, WINOBIAS, WINOGENDER = "blimp", "crows_pairs", "winobias", "winogender"
PAIRS_AT_ONCE = 128
CHANCE = 0.5  # what a model without a preference has
PRO, ANTI = "pro_stereotyped", "anti_stereotyped"
FILES = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".dev", ".test")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """Two sentences."""

    suite: str  # whose layout the pair is in
    group: str  # the phenomenon, kind of bias, or type
    preferred: str
    other: str


@dataclass(frozen=True)
class ScoredPair:
    """A pair with the log-likelihoods, in nats, that its preference is read from."""

    pair: Pair
    preferred: float
    other: float

    @property
    def prefers(self) -> float:
        """1 if the model finds the preferred sentence likelier, 0 if the other, a half if both alike."""
        return CHANCE if self.preferred == self.other else float(self.preferred > self.other)


def read_pairs(path: Path, limit: int = 0) -> list[Pair]:
    """The pairs of a file, or of a folder and the folders in it; limit: at most so many of a group, 0 means all."""
    if not path.exists():
        raise InputError(f"minimal_pairs: there is no file or folder {path}; give pairs in a layout that is known.")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    malformed = MalformedRows(str(path))
    files = [file for file in files if kind_of(file) in FILES and file.name != STEP_FILE]
    pairs = list(_all_pairs(files, malformed))
    if not pairs and not malformed:
        raise InputError(
            f"minimal_pairs: {path} holds no pairs in the layout of BLiMP, CrowS-Pairs, WinoBias or Winogender."
        )
    malformed.tell(len(pairs))
    return list(_at_most(limit, pairs)) if limit else pairs


def score_pairs(subject: Subject, pairs: Sequence[Pair]) -> Iterator[list[ScoredPair]]:
    """Each pair with the pseudo-log-likelihoods of its sentences, some at a time.

    Of CrowS-Pairs only the tokens that both sentences share are counted, as its authors do: the words that name a group
    are not themselves judged. A pair with a sentence that the model cannot read at once is left out.
    """
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part, rows = [], []
        for pair in pairs[start : start + PAIRS_AT_ONCE]:
            try:
                rows += encode(subject, [pair.preferred, pair.other])
                part.append(pair)
            except InputError:
                continue
        scores = list(token_scores(subject, rows))
        yield [_scored(*both) for both in zip(part, rows[::2], rows[1::2], scores[::2], scores[1::2], strict=True)]


def pair_metrics(scored: Sequence[ScoredPair], seed: int) -> dict[str, float]:
    """<suite>: the share of its pairs in which the preferred sentence is likelier, with its interval."""
    metrics: dict[str, float] = {}
    for suite in dict.fromkeys(one.pair.suite for one in scored):
        prefers = np.array([one.prefers for one in scored if one.pair.suite == suite])
        metrics |= with_interval(suite, ratio_of_sums, prefers, np.ones(len(prefers)), seed=seed)
        metrics[f"{suite}_pairs"] = len(prefers)
    return metrics


def by_group(scored: Iterable[ScoredPair]) -> list[dict[str, str | float]]:
    """The same share for each group of a suite, in order of name."""
    groups: dict[tuple[str, str], list[float]] = {}
    for one in scored:
        groups.setdefault((one.pair.suite, one.pair.group), []).append(one.prefers)
    return [
        {"suite": suite, "group": group, "pairs": len(values), "share": sum(values) / len(values)}
        for (suite, group), values in sorted(groups.items())
    ]


def _scored(
    pair: Pair, preferred: Sequence[int], other: Sequence[int], scores: np.ndarray, other_scores: np.ndarray
) -> ScoredPair:
    if pair.suite == CROWS:
        blocks = SequenceMatcher(None, preferred, other, autojunk=False).get_matching_blocks()
        scores = np.concatenate([scores[a : a + size] for a, _, size in blocks])
        other_scores = np.concatenate([other_scores[b : b + size] for _, b, size in blocks])
    return ScoredPair(pair, float(scores.sum()), float(other_scores.sum()))


def _at_most(limit: int, pairs: Sequence[Pair]) -> Iterator[Pair]:
    """Up to `limit` pairs of each group, evenly from all it has: its files are about one thing after the other."""
    sizes = Counter((pair.suite, pair.group) for pair in pairs)
    seen: Counter[tuple[str, str]] = Counter()
    for pair in pairs:
        group = pair.suite, pair.group
        place, size = seen[group], sizes[group]
        seen[group] += 1
        if size <= limit or place * limit % size < limit:
            yield pair


def _all_pairs(files: Sequence[Path], malformed: MalformedRows) -> Iterator[Pair]:
    for file in files:
        if kind_of(file) not in (".jsonl", ".json", ".csv", ".tsv"):
            if PRO in file.name or (ANTI in file.name and _twin(file) not in files):
                yield from _winobias(file, malformed)
            continue
        yield from _table_pairs(file, malformed)


def _table_pairs(file: Path, malformed: MalformedRows) -> Iterator[Pair]:
    """The pairs of a file; one whose first row is in no layout is about something else."""
    forms: dict[str, str] = {}
    for number, row in enumerate(read_table(file, malformed)):
        if not number and not LAYOUTS.keys() & row.values.keys():
            logger.warning("%s holds no pairs and is passed over", file)
            return
        try:
            yield from _pair(row, forms)
        except MalformedRow as error:
            malformed.add(row.place, error)
    for form in forms:
        malformed.add(str(file), f'"{form}" has no form of the other gender')


def _pair(row: TableRow, forms: dict[str, str]) -> Iterator[Pair]:
    """The pair of a row; a Winogender pair is whole with the second of its rows, `forms` keeps the first."""
    layout = next((layout for column, layout in LAYOUTS.items() if column in row.values), None)
    if layout is None:
        raise MalformedRow(f"no column {' or '.join(LAYOUTS)}; the row has: {', '.join(map(str, row.values))}")
    if pair := layout(row, forms):
        yield pair


def _group(row: TableRow, *columns: str) -> str:
    """The first of some columns that says to which group the pair belongs."""
    return next((printable(str(row.values[column])) for column in columns if row.values.get(column)), "all")


def _blimp(row: TableRow, _: dict[str, str]) -> Pair:
    return Pair(BLIMP, _group(row, "linguistics_term", "UID"), row.text("sentence_good"), row.text("sentence_bad"))


def _crows(row: TableRow, _: dict[str, str]) -> Pair:
    # `sent_more` is what a stereotype would have in both directions, as in its authors' score.
    direction = str(row.values.get("stereo_antistereo", "stereo")).strip().lower()
    if direction not in ("stereo", "antistereo"):
        raise MalformedRow(f'stereo_antistereo is "{printable(direction[:40])}" instead of stereo or antistereo')
    return Pair(CROWS, _group(row, "bias_type"), row.text("sent_more"), row.text("sent_less"))


def _winogender(row: TableRow, forms: dict[str, str]) -> Pair | None:
    parts = row.text("sentid").split(".")
    if len(parts) < 4:
        raise MalformedRow(f'sentid "{row.values["sentid"][:60]}" is not occupation.participant.answer.gender')
    key, gender = ".".join(parts[:3]), parts[3]
    if gender not in ("male", "female"):
        return None
    sentence, opposite = row.text("sentence"), "female" if gender == "male" else "male"
    if f"{key}.{gender}" in forms:
        raise MalformedRow(f'a second {gender} form of "{key}"')
    if f"{key}.{opposite}" not in forms:
        forms[f"{key}.{gender}"] = sentence
        return None
    pair = {gender: sentence, opposite: forms.pop(f"{key}.{opposite}")}
    return Pair(WINOGENDER, parts[0], pair["male"], pair["female"])


LAYOUTS: dict[str, Callable[[TableRow, dict[str, str]], Pair | None]] = {
    "sentence_good": _blimp,
    "sent_more": _crows,
    "sentid": _winogender,
}


def _twin(file: Path) -> Path:
    """The other of the two files of a type."""
    own, other = (PRO, ANTI) if PRO in file.name else (ANTI, PRO)
    return file.with_name(file.name.replace(own, other))


def _winobias(file: Path, malformed: MalformedRows) -> Iterator[Pair]:
    """Lines `1 The [developer] argued with the designer because [she] ...` of both files of a type, side by side."""
    other = _twin(file)
    if not other.is_file():
        raise InputError(f"minimal_pairs: {file} has no {other.name} beside it; WinoBias comes in both.")
    if PRO not in file.name:
        file, other = other, file
    lines = [[line for _, line in read_lines(path)] for path in (file, other)]
    if len(lines[0]) != len(lines[1]):
        raise InputError(f"minimal_pairs: {file} has {len(lines[0])} lines and {other.name} {len(lines[1])}.")
    group = file.name.split(".")[0].removeprefix(f"{PRO}_")
    for number, pair in enumerate(zip(*lines, strict=True), start=1):
        sentences = [re.sub(r"^\s*\d+\s*|[\[\]]", "", line).strip() for line in pair]
        if all(sentences):
            yield Pair(WINOBIAS, group, *sentences)
        else:
            malformed.add(f"{file}:{number}", "the sentence is empty")
