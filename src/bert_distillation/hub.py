"""Models and tokenizers from a folder or, where none is given, from the hub by name.

Every step takes the two as separate inputs, `x` (a folder) and `x_name` (a hub name); the folder wins. A name may carry
a revision, `owner/name@revision`; the names we default to have theirs here.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from bert_distillation.errors import InputError
from bert_distillation.options import existing_folder
from bert_distillation.text_lines import read_lines, too_many_words
from bert_distillation.tracking import check_weights

BERT = "google-bert/bert-base-uncased"

# What a configuration calls its sizes, in BERT and in DistilBERT.
SIZES = (
    ("num_hidden_layers", "n_layers"),
    ("hidden_size", "dim"),
    ("intermediate_size", "hidden_dim"),
    ("vocab_size",),
    ("max_position_embeddings",),
)
LENGTH = "model_max_length"
SPELLING = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", LENGTH)
SHOWN = 50  # characters of a value, in a message
SPECIAL = ("cls", "sep", "pad", "mask", "unk")
# How every BERT tokenizer cuts words, apart from its vocabulary and its letters.
AS_BERT = (
    {"type": "BertPreTokenizer"},
    {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    },
    ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]"],
)
REVISIONS = {
    BERT: "86b5e0934494bd15c9632b12f734a8a67f723594",
    "distilbert/distilbert-base-uncased": "12040accade4e8a0f71eabdb258fecc2e7e948be",
    "nyu-mll/glue": "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c",
    "wikimedia/wikipedia": "b04c8d1ceb2f5cd4588862100d08de323dccfbaa",
    # The repository holds a script, which `datasets` no longer runs; the hub's own conversion lies on this branch.
    "bookcorpus/bookcorpus": "refs/convert/parquet",
}


def split_revision(name: str) -> tuple[str, str | None]:
    """'owner/name@revision' -> (name, revision); our defaults have a revision without being told."""
    name, _, revision = name.partition("@")
    return name, revision or REVISIONS.get(name)


def source(folder: Path | None, name: str, *, of: str) -> dict[str, Any]:
    """Arguments of `from_pretrained` for the folder, or for the hub name where there is no folder."""
    if folder is not None:
        existing_folder(of, folder, "a model in Hugging Face format (config.json, model.safetensors, tokenizer files)")
        return {"pretrained_model_name_or_path": str(folder), "local_files_only": True}
    if not name:
        raise InputError(f"{of}: give a folder with --{of} or a hub name with --{of}_name.")
    name, revision = split_revision(name)
    return {"pretrained_model_name_or_path": name, "revision": revision}


def load_with(auto_class: Any, folder: Path | None, name: str, *, of: str) -> Any:
    """What `auto_class.from_pretrained` makes of the folder or the hub name."""
    return _load(auto_class, source(folder, name, of=of), of)


def load_model(
    auto_class: Any, folder: Path | None, name: str, *, of: str, new: tuple[str, ...] = (), **settings: Any
) -> Any:
    """The whole model as `auto_class` (for example `AutoModelForMaskedLM`); weights from safetensors only.

    A checkpoint that lacks some of the model's weights is refused, because they would be random; only those whose names
    begin with one of `new` may be missing or of another shape, and are drawn anew. Weights saved in half precision
    become single: training in half would round its small steps away, and some answers would overflow in fp16.
    """
    where = source(folder, name, of=of)
    if folder is not None:
        check_parts(folder, of)
        check_weights(folder, of)
        check_size(folder, of)
    settings = {"dtype": torch.float32, "ignore_mismatched_sizes": bool(new), "output_loading_info": True} | settings
    model, loaded = _load(auto_class, where, of, use_safetensors=True, **settings)
    mismatched = {key if isinstance(key, str) else key[0] for key in loaded["mismatched_keys"]}
    random = sorted(key for key in {*loaded["missing_keys"], *mismatched} if not (new and key.startswith(new)))
    if random:
        raise InputError(
            f"{of}: {where['pretrained_model_name_or_path']} lacks {len(random)} weights of a "
            f"{type(model).__name__}, among them {random[0]}. Give a whole model of this kind."
        )
    check_finite(model, of)
    return model


def check_parts(folder: Path, of: str) -> None:
    """Refuse a folder without a model in it, and one whose weights are pickled."""
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    missing += [] if any(folder.glob("*.safetensors")) else ["model.safetensors"]
    if not missing:
        return
    way = "Give the folder of a model in Hugging Face format."
    if "model.safetensors" in missing and (pickled := sorted(file.name for file in folder.glob("pytorch_model*.bin"))):
        way = f"{pickled[0]} is not read, for it may hold code: save the model with a current transformers."
    raise InputError(f"{of}: {folder} holds no {' and no '.join(missing)}. {way}")


def check_size(folder: Path, of: str) -> None:
    """Refuse a configuration of more weights than the folder can hold, before somebody tries to make them."""
    try:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        sizes = [max(content.get(name, 0) for name in names) for names in SIZES]
        layers, width, inner, words, positions = (int(size) for size in sizes)
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return  # whoever loads it says what is wrong with it
    described = layers * width * (4 * width + 2 * inner) + (words + positions) * width + layers
    there = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if there and described > there:
        raise InputError(
            f"{of}: config.json of {folder} describes {described:,} weights, but {there:,} bytes of weights are there. "
            "Give the config.json that belongs to them."
        )


def check_finite(model: torch.nn.Module, of: str) -> None:
    """Refuse weights that are not numbers."""
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise InputError(f"{of}: the weights {name} are not finite numbers. Give a model whose training succeeded.")


def load_tokenizer(folder: Path | None, name: str, *, of: str) -> PreTrainedTokenizerFast:
    """The fast WordPiece tokenizer; `vocab.txt` alone is uncased BERT's, unless `tokenizer_config.json` says else."""
    if folder is not None:
        existing_folder(of, folder, "tokenizer files (vocab.txt or tokenizer.json)")
        if not (folder / "tokenizer.json").is_file():
            # transformers would make up a tokenizer of five words.
            if not (folder / "vocab.txt").is_file():
                raise InputError(f"{of}: {folder} holds no tokenizer.json and no vocab.txt; add the tokenizer's files.")
            return bert_tokenizer(folder / "vocab.txt", **_spelling(folder / "tokenizer_config.json"))
    tokenizer = load_with(AutoTokenizer, folder, name, of=of)
    missing = [token for token in SPECIAL if getattr(tokenizer, f"{token}_token") is None]
    if missing or not tokenizer.is_fast:
        raise InputError(f"{of}: this is not a fast BERT tokenizer (missing: {', '.join(missing) or 'fast files'}).")
    return tokenizer


def _spelling(file: Path) -> dict[str, Any]:
    """How a `tokenizer_config.json` wants letters to be read; nothing where there is none."""
    if not file.is_file():
        return {}
    try:
        content = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{file} is not a tokenizer's configuration ({error}).") from None
    spelling = {name: content[name] for name in SPELLING if content.get(name) is not None}
    for name, value in spelling.items():
        is_whole = type(value) is int or (isinstance(value, float) and value.is_integer())
        if not (isinstance(value, bool) if name != LENGTH else is_whole and value >= 1):
            wanted = "true or false" if name != LENGTH else "a whole number of at least 1"
            raise InputError(f"{file}: {name} must be {wanted}, got {json.dumps(value)[:SHOWN]}.")
    return {name: int(value) if name == LENGTH else value for name, value in spelling.items()}


def bert_tokenizer(vocabulary: Path, **spelling: Any) -> PreTrainedTokenizerFast:
    """A BERT tokenizer from a `vocab.txt`, one word piece a line; uncased unless `spelling` (`SPELLING`) says else."""
    pieces = [line.removesuffix("\n").removesuffix("\r") for _, line in read_lines(vocabulary)]
    seen: set[str] = set()
    for number, piece in enumerate(pieces, 1):
        if piece in seen:
            raise InputError(f"{vocabulary}:{number} has {piece!r} a second time; a vocabulary has each word once.")
        seen.add(piece)
    missing = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} - seen
    if missing:
        raise InputError(f"{vocabulary} lacks {', '.join(sorted(missing))}; give a BERT vocabulary.")
    return BertTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)}, **{"do_lower_case": True} | spelling
    )


def fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """A checksum of what the tokenizer does: equal fingerprints give equal ids."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    normalizer = tokenizer.backend_tokenizer.normalizer
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    word_pieces = {name: value for name, value in backend["model"].items() if name != "vocab"}
    rest = (backend["pre_tokenizer"], word_pieces, [getattr(tokenizer, f"{name}_token") for name in SPECIAL])
    text = repr((vocabulary, str(normalizer), *(() if rest == AS_BERT else rest)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def require_same_vocabulary(tokenizer: PreTrainedTokenizerFast, expected: PreTrainedTokenizerFast, *, of: str) -> None:
    """Refuse a model whose tokenizer gives other ids than the one that made the sequences."""
    if fingerprint(tokenizer) != fingerprint(expected):
        raise InputError(
            f"{of}: its vocabulary ({len(tokenizer)} words) is not that of the sequences ({len(expected)} words). "
            f"Run `preprocess` with the tokenizer of this {of}, or choose another {of}."
        )


def require_all_ids(tokenizer: PreTrainedTokenizerFast, *, of: str) -> None:
    """Refuse a tokenizer whose ids have gaps: what counts words, or writes ids, has as many places as words."""
    if (last := max(tokenizer.get_vocab().values())) >= len(tokenizer):
        raise InputError(
            f"{of}: it has {len(tokenizer)} words, and one of them the id {last}; "
            "fill the gaps with words that no text has, as [unused1]."
        )


def require_words(model: Any, tokenizer: PreTrainedTokenizerFast, *, of: str) -> None:
    """Refuse a model that has no embedding for some words of its tokenizer, or for the second of two texts."""
    if (last := max(tokenizer.get_vocab().values())) >= model.config.vocab_size:
        what = too_many_words(len(tokenizer), last, model.config.vocab_size)
        raise InputError(f"{of}: its tokenizer has {what}; give a folder whose tokenizer belongs to its model.")
    if getattr(model.config, "type_vocab_size", 2) < 2:
        raise InputError(
            f"{of}: its type_vocab_size is {model.config.type_vocab_size}, and a BERT's is 2; give a BERT."
        )


def _load(auto_class: Any, where: dict[str, Any], of: str, **settings: Any) -> Any:
    try:
        return auto_class.from_pretrained(**where, **settings)
    except Exception as error:  # whatever a broken file makes the library stumble over is the file's mistake
        place = where["pretrained_model_name_or_path"]
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{of}: could not load {place}: {first_line.rstrip('.')}. "
            "Check the folder, or the hub name and the connection to the hub."
        ) from error
