"""Blocks of documents, the unit of work: each becomes a batch of sequences on its own, whichever process takes it."""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pyarrow as pa
from transformers import PreTrainedTokenizerFast

from bert_distillation.sentence_pairs import Pair, Sentence, sentence_pairs
from bert_distillation.sentences import split_document
from bert_distillation.sequences import sequence_schema
from bert_distillation.word_pieces import Encoder

BLOCK_CHARACTERS, BLOCK_DOCUMENTS = 2_000_000, 4096  # a block ends with the first document past either
SPECIALS_OF_PAIR = 3  # [CLS] A [SEP] B [SEP]
TEST_ROWS_PER_DOCUMENT = 8
# Words between blanks, apart from the punctuation that BERT's tokenizer splits off.
WHOLE_WORD = re.compile(r"(?<![^\s(\[\"“‘])[^\W\d_]{3,}(?![^\s.,;:!?)\]\"”’])")  # noqa: RUF001


@dataclass(frozen=True)
class Block:
    """Documents that become sequences together: a random B comes from another document of the block."""

    held_out: bool
    index: int  # among the blocks of its kind
    texts: list[str]


@dataclass(frozen=True)
class MadeBlock:
    """What a block became."""

    held_out: bool
    index: int
    sequences: pa.RecordBatch  # columns as in `sequences`
    documents: int  # with at least one sentence
    sentences: int
    corpus_tokens: int  # word pieces of the text
    unknown_tokens: int  # [UNK] in the sequences
    test_rows: list[dict[str, str]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Tokens of the sequences."""
        return len(self.sequences.column("input_ids").values)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a process needs to know to make blocks; small enough to send to each."""

    tokenizer_json: str
    cls_token_id: int
    sep_token_id: int
    unk_token_id: int
    mask_token: str
    vocab_size: int
    max_seq_length: int
    seed: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, max_seq_length: int, seed: int) -> "Recipe":
        """The recipe with this tokenizer."""
        return cls(
            tokenizer_json=tokenizer.backend_tokenizer.to_str(),
            cls_token_id=tokenizer.cls_token_id,
            sep_token_id=tokenizer.sep_token_id,
            unk_token_id=tokenizer.unk_token_id,
            mask_token=tokenizer.mask_token,
            vocab_size=len(tokenizer),
            max_seq_length=max_seq_length,
            seed=seed,
        )


def make_blocks(documents: Iterable[str], held_out_fraction: float) -> Iterator[Block]:
    """The documents in blocks, those to hold out in blocks of their own."""
    collected: dict[bool, list[str]] = {False: [], True: []}
    characters, indices = {False: 0, True: 0}, {False: 0, True: 0}
    for held_out, text in hold_out(documents, held_out_fraction):
        collected[held_out].append(text)
        characters[held_out] += len(text)
        if characters[held_out] >= BLOCK_CHARACTERS or len(collected[held_out]) >= BLOCK_DOCUMENTS:
            yield Block(held_out, indices[held_out], collected[held_out])
            collected[held_out], characters[held_out] = [], 0
            indices[held_out] += 1
    for held_out, texts in collected.items():
        if texts:
            yield Block(held_out, indices[held_out], texts)


def hold_out(documents: Iterable[str], fraction: float) -> Iterator[tuple[bool, str]]:
    """(whether it is held out, document) for each document; by a hash of its text, so a copy goes the same way.

    Where the hash chooses none, the document with the smallest is held out, unless it is the only one with sentences.
    """
    chosen, others = fraction == 0, False
    spare: tuple[float, str] | None = None  # the smallest so far
    copies = 0  # of it
    for text in documents:
        place = text_hash(text)
        if chosen:
            yield place < fraction, text
        elif not split_document(text):
            yield False, text
        elif place < fraction:
            chosen = True
            yield True, text
        elif spare is None or place < spare[0]:
            if spare:
                others = True
                yield from [(False, spare[1])] * copies
            spare, copies = (place, text), 1
        elif place == spare[0]:
            copies += 1
        else:
            others = True
            yield False, text
    if spare:
        yield from [(others and not chosen, spare[1])] * copies


def text_hash(text: str) -> float:
    """A number from 0 up to 1 that depends on the text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64


class BlockMaker:
    """Makes blocks into sequences; what it makes of a block depends on the recipe and the block alone."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.encoder = Encoder(recipe.tokenizer_json, recipe.vocab_size)
        self.vocabulary = self.encoder.tokenizer.get_vocab()

    def make(self, block: Block) -> MadeBlock:
        """The block's sequences and, if it is held out, masked sentences to test with."""
        random = Random(f"{self.recipe.seed} {block.held_out} {block.index}")
        texts = [split_document(text) for text in block.texts]
        encoded = iter(self.encoder.encode(list(itertools.chain.from_iterable(texts))))
        documents = [list(itertools.islice(encoded, len(sentences))) for sentences in texts]
        pairs = sentence_pairs(documents, self.recipe.max_seq_length - SPECIALS_OF_PAIR, random)
        lengths = [[len(sentence) for sentence in document if len(sentence)] for document in documents]
        sequences = self._to_batch(pairs)
        ids = sequences.column("input_ids").values.to_numpy()
        return MadeBlock(
            held_out=block.held_out,
            index=block.index,
            sequences=sequences,
            documents=sum(map(bool, lengths)),
            sentences=sum(map(len, lengths)),
            corpus_tokens=sum(map(sum, lengths)),
            unknown_tokens=int(np.count_nonzero(ids == self.recipe.unk_token_id)),
            test_rows=self._test_rows(texts, documents, random) if block.held_out else [],
        )

    def _to_batch(self, pairs: Iterable[Pair]) -> pa.RecordBatch:
        """The pairs as rows `[CLS] A [SEP] B [SEP]`."""
        dtype = self.encoder.dtype
        cls = np.array([self.recipe.cls_token_id], dtype=dtype)
        sep = np.array([self.recipe.sep_token_id], dtype=dtype)
        pieces: list[Sentence] = [np.array([], dtype=dtype)]
        lengths, second_starts = [0], []
        for pair in pairs:
            pieces += [cls, *pair.first, sep, *pair.second, sep]
            second_starts.append(2 + sum(map(len, pair.first)))
            lengths.append(second_starts[-1] + sum(map(len, pair.second)) + 1)
        input_ids = pa.ListArray.from_arrays(pa.array(np.cumsum(lengths), pa.int32()), pa.array(np.concatenate(pieces)))
        schema = sequence_schema(self.recipe.vocab_size)
        return pa.RecordBatch.from_arrays([input_ids, pa.array(second_starts, pa.uint16())], schema=schema)

    def _test_rows(
        self, texts: list[list[str]], documents: list[list[Sentence]], random: Random
    ) -> list[dict[str, str]]:
        """Sentences of each document with one word masked, which is one entry of the vocabulary."""
        longest = self.recipe.max_seq_length - 2
        rows = []
        for sentences, encoded in zip(texts, documents, strict=True):
            fitting = [text for text, ids in zip(sentences, encoded, strict=True) if len(ids) <= longest]
            masked = [row for text in fitting if (row := self._mask_word(text, random))]
            rows += random.sample(masked, min(len(masked), TEST_ROWS_PER_DOCUMENT))
        return rows

    def _mask_word(self, text: str, random: Random) -> dict[str, str] | None:
        """The sentence with one of its words masked, or nothing where no word is an entry of the vocabulary."""
        if self.recipe.mask_token in text:
            return None
        normalizer = self.encoder.tokenizer.normalizer
        normalize = normalizer.normalize_str if normalizer else str
        words = [(match, normalize(match[0])) for match in WHOLE_WORD.finditer(text)]
        words = [(match, word) for match, word in words if word in self.vocabulary]
        if not words:
            return None
        match, word = random.choice(words)
        return {"input_string": f"{text[: match.start()]}{self.recipe.mask_token}{text[match.end() :]}", "title": word}
