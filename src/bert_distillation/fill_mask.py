"""The predictor: the likeliest words for the [MASK]s of texts.

One predictor serves the endpoint, the MLflow model and the evaluation. It knows texts and words; a runner knows the
model: `onnx_runner` on CPUs where the model's folder holds a graph, `torch_runner` else. Neither torch nor transformers
is imported before a runner needs it: an endpoint without them starts in a fraction of the time.
Sizes: M masks, V words.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from tokenizers import Tokenizer

from bert_distillation.errors import InputError, NotFiniteError
from bert_distillation.text_lines import printable, too_many_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

LIKE_LENGTH = 2.0  # how many times as long as the shortest the longest text of a batch may be: attention is padded
LONG_TEXT = 32  # tokens; texts up to this length share a batch however short they are
SPECIAL_TOKENS = ("cls", "sep", "mask", "unk")
TOKENIZER_FILE, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
TOGETHER, LEFT_TO_RIGHT = "together", "left_to_right"  # how several masks of one text are filled
ORDERS = (TOGETHER, LEFT_TO_RIGHT)
GRAPHS = {"fp32": "model.onnx", "int8": "model-int8.onnx"}  # precision -> the graph in a model's folder
SERVED_PRECISIONS = ("fp32", "bf16", "fp16", "int8")
DEVICE = re.compile("cpu|cuda(:(0|[1-9][0-9]*))?")


@dataclass(frozen=True)
class Candidate:
    """A word for a mask, with its probability."""

    token: str
    score: float


class Runner(Protocol):
    """A model, as the predictor needs it."""

    max_length: int  # tokens of a text, special ones included
    vocab_size: int
    tokens_per_batch: int  # with padding; more would take memory and, on a CPU, no less time

    def logits(self, texts: Sequence[Sequence[int]], mask_token_id: int) -> np.ndarray:
        """(M, V) float32 logits of all masks of the texts (token ids), in their order."""


class WordPieces:
    """The tokenizer, as the predictor needs it: texts to ids, and ids to words."""

    def __init__(self, tokenizer: Tokenizer, special_tokens: dict[str, str]):
        """special_tokens: cls, sep, mask and unk -> what the tokenizer calls them."""
        self.tokenizer = tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        ids: dict[str, int] = {}
        for name in SPECIAL_TOKENS:
            index = tokenizer.token_to_id(special_tokens[name])
            if index is None:
                raise InputError(f"The tokenizer has no {special_tokens[name]}; give the files of a BERT tokenizer.")
            ids[name] = index
        self.mask_token = special_tokens["mask"]
        self.cls_token_id, self.sep_token_id, self.mask_token_id, self.unk_token_id = ids.values()
        self.size = tokenizer.get_vocab_size()
        self.last_id = max(tokenizer.get_vocab().values())  # ids may have gaps

    @classmethod
    def load(cls, folder: Path) -> "WordPieces":
        """The tokenizer of a folder in Hugging Face format."""
        file = folder / TOKENIZER_FILE
        if not file.is_file():
            raise InputError(f"{folder} holds no {TOKENIZER_FILE}; deploy a model written by `export`.")
        config = folder / TOKENIZER_CONFIG
        names = json.loads(config.read_text()) if config.is_file() else {}
        special = {name: names.get(f"{name}_token") or f"[{name.upper()}]" for name in SPECIAL_TOKENS}
        return cls(Tokenizer.from_file(str(file)), special)

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerFast") -> "WordPieces":
        """The same tokenizer as transformers holds it."""
        special = {name: getattr(tokenizer, f"{name}_token") for name in SPECIAL_TOKENS}
        return cls(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), special)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without special tokens but those that stand in it."""
        whole = [printable(text) for text in texts]
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(whole, add_special_tokens=False)]

    def word(self, index: int) -> str:
        """The word piece of an id; a model may have more words than its tokenizer."""
        return self.tokenizer.id_to_token(index) or f"[id {index}]"

    def ids_of(self, words: Sequence[str]) -> list[int]:
        """The ids of the words, each once; InputError names a word that is not a single entry of the vocabulary."""
        ids = {}
        for word, pieces in zip(words, self.encode(words), strict=True):
            known = self.tokenizer.token_to_id(word) if word == printable(word) else self.unk_token_id
            index = known if known is not None else pieces[0] if len(pieces) == 1 else self.unk_token_id
            if index in (self.unk_token_id, self.mask_token_id):
                raise InputError(f"The target {word[:40]!r} is not one word of the vocabulary; give words that are.")
            ids[index] = word
        return list(ids)


class FillMask:
    """A masked-LM with its tokenizer, ready to answer."""

    def __init__(self, runner: Runner, word_pieces: WordPieces):
        self.runner, self.word_pieces = runner, word_pieces
        if (last := word_pieces.last_id) >= runner.vocab_size:
            what = too_many_words(word_pieces.size, last, runner.vocab_size)
            raise InputError(f"The tokenizer has {what}; give the tokenizer that the model was trained with.")

    @classmethod
    def load(cls, folder: Path, precision: str = "fp32", device: str = "cpu", num_threads: int = 0) -> "FillMask":
        """The predictor of a model's folder in Hugging Face format.

        precision: fp32; bf16 or fp16, for torch; int8, if `export` was told to make it. device: cpu, cuda or cuda:N.
        num_threads: 0 takes all cores.
        """
        if precision not in SERVED_PRECISIONS:
            raise InputError(f"precision must be one of {', '.join(SERVED_PRECISIONS)}, got {precision}.")
        if not DEVICE.fullmatch(device):
            raise InputError(f"device must be cpu, cuda or, for the GPU of number N, cuda:N, got {device!r}.")
        if precision == "int8" and device != "cpu":
            raise InputError(f"int8 is for CPUs, and the device is {device}; give fp16 or bf16, or the device cpu.")
        if device == "cpu" and precision in GRAPHS and (folder / GRAPHS[precision]).is_file():
            from bert_distillation.onnx_runner import OnnxRunner

            return cls(OnnxRunner(folder, GRAPHS[precision], num_threads), WordPieces.load(folder))
        if precision == "int8":
            raise InputError(
                f"{folder} holds no {GRAPHS[precision]}; run `export` with --int8 on a model that allows it."
            )
        try:
            from bert_distillation.torch_runner import TorchRunner
        except ModuleNotFoundError as error:
            if device == "cpu" and precision in GRAPHS:
                raise InputError(
                    f"{folder} holds no {GRAPHS['fp32']} and {error.name} is not installed; "
                    "deploy a model written by `export`, or add torch and transformers to the environment."
                ) from None
            raise InputError(
                f"{precision} on {device} needs torch and transformers, and {error.name} is not installed; take "
                "the environment environments/inference-gpu, or fp32 on cpu for a model written by `export`."
            ) from None

        runner, tokenizer = TorchRunner.load(folder, precision, device, num_threads)
        return cls(runner, WordPieces.of(tokenizer))

    def predict(self, texts: list[str], top_k: int = 1) -> list[list[Candidate]]:
        """For each text, of whose [MASK]s the first counts, its `top_k` candidates, the likeliest first."""
        return [masks[0] for masks in self.predict_masks(texts, top_k)]

    def predict_masks(
        self, texts: list[str], top_k: int = 1, targets: Sequence[str] = (), order: str = TOGETHER
    ) -> list[list[list[Candidate]]]:
        """For each text and each of its [MASK]s the `top_k` candidates.

        targets: if given, the only words that are candidates. order: `together` fills the masks of a text independently
        of each other; `left_to_right` puts the likeliest word into a mask before it looks at the next.
        """
        return self.fill(self.encode(texts), top_k, self.word_pieces.ids_of(targets), order)

    def encode(self, texts: Sequence[str], max_masks: int | None = None) -> list[list[int]]:
        """Token ids of each text with its masks; of too long a text the window round them. InputError names a text."""
        encoded = enumerate(zip(texts, self.word_pieces.encode(texts), strict=True))
        return [self._window(index, text, ids, max_masks) for index, (text, ids) in encoded]

    def fill(
        self, rows: Sequence[list[int]], top_k: int, targets: Sequence[int], order: str
    ) -> list[list[list[Candidate]]]:
        """What `predict_masks` does, for texts that are encoded already."""
        among = np.array(targets) if targets else None
        if order == LEFT_TO_RIGHT:
            return self._left_to_right([list(row) for row in rows], top_k, among)
        return self._together(rows, top_k, among)

    def _left_to_right(
        self, rows: list[list[int]], top_k: int, among: np.ndarray | None
    ) -> list[list[list[Candidate]]]:
        answers: list[list[list[Candidate]]] = [[] for _ in rows]
        mask_token_id = self.word_pieces.mask_token_id
        while open_rows := [index for index, row in enumerate(rows) if mask_token_id in row]:
            ids, scores = self._best([rows[index] for index in open_rows], top_k, among, first_mask_only=True)
            for index, best, probabilities in zip(open_rows, ids, scores, strict=True):
                answers[index].append(self._words(best, probabilities))
                # Filled with a mask, as a model may want it, a row would never come to its end.
                word = self.word_pieces.unk_token_id if best[0] == mask_token_id else int(best[0])
                rows[index][rows[index].index(mask_token_id)] = word
        return answers

    def _together(self, rows: Sequence[list[int]], top_k: int, among: np.ndarray | None) -> list[list[list[Candidate]]]:
        ids, scores = self._best(rows, top_k, among)
        found = map(self._words, ids, scores)
        return [[next(found) for _ in range(row.count(self.word_pieces.mask_token_id))] for row in rows]

    def _words(self, ids: np.ndarray, scores: np.ndarray) -> list[Candidate]:
        pairs = zip(ids.tolist(), scores.tolist(), strict=True)
        return [Candidate(self.word_pieces.word(index), score) for index, score in pairs]

    def _best(
        self, rows: Sequence[list[int]], top_k: int, among: np.ndarray | None, first_mask_only: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """(M, k) ids and probabilities of the likeliest words for all masks of the rows, in their order."""
        counts = np.array([row.count(self.word_pieces.mask_token_id) for row in rows], np.int64)
        ends = np.cumsum(counts)
        width = min(top_k, self.runner.vocab_size if among is None else len(among))
        ids = np.empty((int(counts.sum()), width), np.int64)
        scores = np.empty(ids.shape, np.float32)
        for indices in batches_by_length([len(row) for row in rows], self.runner.tokens_per_batch):
            logits = self.runner.logits([rows[index] for index in indices], self.word_pieces.mask_token_id)
            places = np.concatenate([np.arange(ends[index] - counts[index], ends[index]) for index in indices])
            ids[places], scores[places] = likeliest(logits, width, among)
        if first_mask_only:
            ids, scores = ids[ends - counts], scores[ends - counts]
        return ids, scores

    def _window(self, index: int, text: str, ids: list[int], max_masks: int | None) -> list[int]:
        pieces, size = self.word_pieces, self.runner.max_length - 2
        masks = [place for place, token in enumerate(ids) if token == pieces.mask_token_id]
        if not masks:
            raise InputError(f"Text {index} has no {pieces.mask_token}: {text[:80]!r}.")
        if max_masks is not None and len(masks) > max_masks:
            raise InputError(f"Text {index} has {len(masks)} masks; send at most {max_masks} in one text.")
        if masks[-1] - masks[0] >= size:
            raise InputError(
                f"Text {index} has masks {masks[-1] - masks[0]} tokens apart, and the model reads {size} at a time; "
                "send them as texts of their own."
            )
        middle = (masks[0] + masks[-1]) // 2
        start = max(0, min(middle - (size - 1) // 2, len(ids) - size))
        return [pieces.cls_token_id, *ids[start : start + size], pieces.sep_token_id]


def likeliest(logits: np.ndarray, count: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(M, V) logits -> (M, count) ids of the likeliest words, in order, and their probabilities among all V words.

    Raises NotFiniteError where the model has overflowed.
    """
    highest = logits.max(axis=1, keepdims=True)
    if not np.isfinite(highest).all():
        raise NotFiniteError("The model overflows, its answer is no number; take bf16 or fp32, or another model.")
    shifted = logits - highest
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    open_to_choice = shifted if among is None else shifted[:, among]
    if count == 1:
        chosen = open_to_choice.argmax(axis=1)[:, None]
    else:
        chosen = np.argpartition(open_to_choice, -count, axis=1)[:, -count:]
        chosen = np.take_along_axis(chosen, (-np.take_along_axis(open_to_choice, chosen, 1)).argsort(1, "stable"), 1)
    scores = np.exp(np.take_along_axis(open_to_choice, chosen, 1)) / total
    return chosen if among is None else among[chosen], scores


def batches_by_length(lengths: list[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Indices in batches of like length, each of at most `tokens_per_batch` with its padding, or of one alone."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        longest = max(LONG_TEXT, LIKE_LENGTH * lengths[batch[0]]) if batch else 0
        if batch and (lengths[index] * (len(batch) + 1) > tokens_per_batch or lengths[index] > longest):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
