"""How fast sentences are scored, beside one masked token at a time, on the same pairs with the same model.

    python benchmarks/probe_speed.py --pairs BLIMP.jsonl.gz [--model DIR] [--count 1000] [--plain 50] [--json FILE]

Without --model a BERT of 6 layers, 384 wide, with random weights and the words of the sample data is scored: its speed
is that of a trained one of this size and vocabulary. Both ways take turns on the first --plain pairs; ours then scores
--count pairs drawn evenly from the file.

    plain   each token of a sentence masked in turn: a forward pass of transformers' own model for each, all its logits
    probe   this package: packed by length, only the masks go through the vocabulary layer
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from plain_errors import plain_errors
from transformers import BertConfig, BertForMaskedLM

from bert_distillation import hub
from bert_distillation.minimal_pairs import read_pairs, score_pairs
from bert_distillation.pseudo_likelihood import encode, token_scores
from bert_distillation.subject import Subject, load_subject

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5


def random_model(folder: Path, tokenizer_folder: Path) -> Path:
    """6 layers, 384 wide."""
    tokenizer = hub.load_tokenizer(tokenizer_folder, "", of="tokenizer")
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}
    BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.inference_mode()
def plain(subject: Subject, model: BertForMaskedLM, texts: list[str]) -> list[float]:
    """Scores of the texts' tokens by one forward pass each."""
    found = []
    for text in texts:
        ids = subject.tokenizer(text, return_tensors="pt")["input_ids"]
        for place in range(1, ids.shape[1] - 1):
            masked = ids.clone()
            masked[0, place] = subject.tokenizer.mask_token_id
            logits = model(input_ids=masked).logits[0, place].float()
            found.append((logits[ids[0, place]] - logits.logsumexp(0)).item())
    return found


def ours(subject: Subject, texts: list[str]) -> list[float]:
    """The same scores by the package, in the same order."""
    return [float(score) for scores in token_scores(subject, encode(subject, texts)) for score in scores]


@plain_errors()
def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "sample_data" / "tokenizer")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--plain", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pairs = read_pairs(options.pairs)
    pairs = pairs[:: max(1, len(pairs) // options.count)][: options.count]
    few = pairs[:: max(1, len(pairs) // options.plain)][: options.plain]
    texts = [text for pair in few for text in (pair.preferred, pair.other)]
    with tempfile.TemporaryDirectory() as folder:
        place = options.model or random_model(Path(folder), options.tokenizer)
        subject = load_subject(place, "", device="cpu")
        reference = BertForMaskedLM.from_pretrained(place).eval()
    ratios, difference = [], 0.0
    for number in range(ROUNDS + 1):
        start = time.perf_counter()
        expected = plain(subject, reference, texts)
        middle = time.perf_counter()
        found = ours(subject, texts)
        end = time.perf_counter()
        if number:  # the first warms up
            ratios.append((middle - start) / (end - middle))
        difference = max(difference, *(abs(a - b) for a, b in zip(expected, found, strict=True)))
    start = time.perf_counter()
    for _ in score_pairs(subject, pairs):
        pass
    seconds = time.perf_counter() - start
    row = {"ratio": statistics.median(ratios), "largest_difference": difference}
    row |= {"pairs": len(pairs), "seconds": seconds}
    print(f"{row['ratio']:.2f} times as fast as one mask at a time, median of {ROUNDS} rounds of {len(few)} pairs")
    print(f"largest difference of a token's score: {difference:.1e} nats")
    print(f"{len(pairs)} pairs in {seconds:.1f} s")
    if options.json:
        options.json.write_text(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
