"""The WordPiece vocabulary of the corpus and the GLUE texts, lower case and without accents as BERT's."""

from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

SIZE = 3500
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def train_vocabulary(texts: Iterable[str], size: int = SIZE) -> list[str]:
    """The pieces in the order of their ids: special tokens, characters, then merges, the most frequent first."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    lines = [line for text in texts for line in text.splitlines()]
    characters = sorted(
        {letter for line in lines for letter in tokenizer.normalizer.normalize_str(line) if not letter.isspace()}
    )
    # The trainer numbers pieces that continue a word in the order of a hash map, which differs from run to run, and
    # breaks ties by number. Given as special tokens, they have their numbers before it starts.
    continued = [f"##{letter}" for letter in characters]
    trainer = WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=[*SPECIAL_TOKENS, *characters, *continued],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    numbers = tokenizer.get_vocab()
    return sorted(numbers, key=lambda piece: numbers[piece])
