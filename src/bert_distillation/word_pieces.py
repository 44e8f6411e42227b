"""Word pieces of sentences, each different word tokenized once."""

import itertools
import string
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from bert_distillation.sequences import token_type

CACHED_WORDS = 300_000  # about 60 MB
BLANK, MARK, LETTER = 0, 1, 2  # kinds of bytes; whatever is neither blank nor ASCII punctuation is a letter
KINDS = np.full(256, LETTER, np.uint8)
KINDS[list(b" \n")] = BLANK
KINDS[list(string.punctuation.encode())] = MARK


class Encoder:
    """Word pieces of sentences, each different word tokenized once.

    BERT's tokenizer treats what lies between blanks and ASCII punctuation on its own, and text repeats its words, so
    that looking them up is faster than tokenizing them again. Any other tokenizer gets whole sentences.
    """

    def __init__(self, tokenizer_json: str, vocab_size: int):
        self.tokenizer = Tokenizer.from_str(tokenizer_json)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.tokenizer.encode_special_tokens = True  # "[SEP]" in a text is text
        self.dtype = np.dtype(token_type(vocab_size).to_pandas_dtype())
        self.separator = self._find_separator()
        self.is_uncased = bool(self.separator and self.tokenizer.normalizer.lowercase)
        self.cache: dict[bytes, bytes] = {}

    def encode(self, sentences: list[str]) -> list[np.ndarray]:
        """(length,) ids of each sentence, whose only white space is single blanks.

        The more sentences at a time the better: a word is looked up once, however often they hold it.
        """
        if not self.separator or not sentences:
            return [np.array(ids, dtype=self.dtype) for ids in self._ids(sentences)]
        text = "\n".join(sentences).encode()
        words, first_words = split_words(text.lower() if self.is_uncased else text)
        distinct = words.dictionary_encode()
        pieces = self._look_up(distinct.dictionary.to_pylist())
        of_words = self._ragged(pieces).take(distinct.indices)
        ids = of_words.flatten().to_numpy()
        bounds = of_words.offsets.to_numpy()[first_words].tolist()
        return [ids[start:end] for start, end in itertools.pairwise(bounds)]

    def _ragged(self, pieces: list[bytes]) -> pa.LargeListArray:
        """The pieces as one array of lists."""
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces)) // self.dtype.itemsize
        values = np.frombuffer(b"".join(pieces), self.dtype)
        return pa.LargeListArray.from_arrays(pa.array(np.cumsum([0, *lengths])), pa.array(values))

    def _look_up(self, words: list[bytes]) -> list[bytes]:
        """The ids of different words, as bytes; what the cache lacks is tokenized all at once."""
        if len(self.cache) > CACHED_WORDS:
            self.cache.clear()
        new = [word for word in words if word not in self.cache]
        letters = [word for word in new if KINDS[word[0]] == LETTER]
        self.cache.update(zip(letters, self._tokenize_words(letters), strict=True))
        marks = [word for word in new if KINDS[word[0]] == MARK]
        for mark, ids in zip(marks, self._ids([mark.decode() for mark in marks]), strict=True):
            self.cache[mark] = np.array(ids, dtype=self.dtype).tobytes()
        return [self.cache[word] for word in words]

    def _tokenize_words(self, words: list[bytes]) -> Iterator[bytes]:
        """The ids of words without punctuation, with a mark between, which none of them holds."""
        (ids,) = self._ids([f" {self.separator} ".encode().join(words).decode()])
        array = np.array(ids, dtype=self.dtype)
        ends = np.flatnonzero(array == self.tokenizer.token_to_id(self.separator)) * self.dtype.itemsize
        raw, start = array.tobytes(), 0
        for end in [*ends.tolist(), len(raw)][: len(words)]:
            yield raw[start:end]
            start = end + self.dtype.itemsize

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def _find_separator(self) -> str:
        """A punctuation mark of the vocabulary; '' where the tokenizer is not BERT's and may not treat words alone."""
        is_bert = isinstance(self.tokenizer.normalizer, BertNormalizer)
        is_bert = is_bert and isinstance(self.tokenizer.pre_tokenizer, BertPreTokenizer)
        added = self.tokenizer.get_added_tokens_decoder().values()
        if not is_bert or not all(token.special for token in added):
            return ""
        return next((mark for mark in "|,." if self.tokenizer.token_to_id(mark) is not None), "")


def split_words(text: bytes) -> tuple[pa.LargeBinaryArray, np.ndarray]:
    """The words of a text of one sentence a line, and (lines + 1,) the number of words before each line.

    A mark of ASCII punctuation is a word; so is what lies between such marks and blanks. Bytes of UTF-8 that look like
    ASCII are ASCII, so the bytes tell.
    """
    raw = np.frombuffer(text, np.uint8)
    kinds = KINDS[raw]
    is_first = kinds == MARK
    is_first[:1] |= kinds[:1] == LETTER
    is_first[1:] |= (kinds[1:] == LETTER) & (kinds[:-1] != LETTER)
    is_word = kinds != BLANK
    starts = np.append(np.flatnonzero(is_first[is_word]), np.count_nonzero(is_word))
    words = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(starts) - 1, [None, pa.py_buffer(starts), pa.py_buffer(raw[is_word])]
    )
    line_ends = [0, *np.flatnonzero(raw == ord("\n")), len(raw)]
    return words, np.searchsorted(np.flatnonzero(is_first), line_ends)
