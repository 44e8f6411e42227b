"""Training as a whole beside the textbook: the same text, order and masks, padded batches and torch's own loop."""

from pathlib import Path

import pytest
import torch
from textbook_step import padded, textbook_loss
from transformers import BertForMaskedLM, get_linear_schedule_with_warmup

from bert_distillation.batches import MaskedSequences, StepPlan
from bert_distillation.distill import DistillConfig, distill, load_teacher, new_student
from bert_distillation.hub import load_tokenizer
from bert_distillation.packing import Packing
from bert_distillation.preprocess import PreprocessConfig, preprocess
from bert_distillation.progress import read_log
from bert_distillation.sequences import open_sequences, open_tokenizer, read_metadata, sequence_lengths
from small_models import save, small_bert

ROOT = Path(__file__).parents[1]
STEPS = 200


def prepared(corpus: Path, tokenizer: Path, folder: Path) -> Path:
    """Sequences of up to 32 tokens."""
    outputs = {name: folder / name for name in ("sequences", "held_out", "test_data")}
    preprocess(PreprocessConfig(corpus=corpus, tokenizer=tokenizer, max_seq_length=32, num_workers=1, **outputs))
    return outputs["sequences"]


def textbook_curve(config: DistillConfig, teacher: BertForMaskedLM) -> list[float]:
    """The losses of the steps, one padded batch a step."""
    corpus, tokenizer = open_sequences(config.sequences), open_tokenizer(config.sequences)
    torch.manual_seed(config.seed)
    student = new_student(config, teacher)
    packing = Packing(sequence_lengths(corpus), read_metadata(config.sequences).max_seq_length, config.seed)
    rows_per_batch = config.per_device_train_batch_size
    plan = StepPlan(packing=packing, per_device_batch_size=rows_per_batch, batches_per_step=1, num_processes=1)
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, config.learning_rate, (0.9, 0.98), 1e-6, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, round(config.warmup_ratio * STEPS), STEPS)
    rows = MaskedSequences(corpus, tokenizer, config.mlm_probability, config.seed)
    curve = []
    for step in range(STEPS):
        [batch] = plan.batches(step, process=0)
        loss = textbook_loss(student, teacher, padded(rows, [(epoch, (i,)) for epoch, row in batch for i in row]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        curve.append(loss.item())
    return curve


@pytest.mark.parametrize("text", ["sample", "real"])
def test_two_hundred_steps_have_the_losses_of_the_textbook(text, tmp_path, request):
    if text == "real":
        shared = request.getfixturevalue("shared_data")
        (tmp_path / "corpus").mkdir()
        (tmp_path / "corpus" / "tiny.txt").symlink_to(shared / "corpus" / "tiny.txt")
        corpus, tokenizer = tmp_path / "corpus", shared / "vocab"
    else:
        corpus, tokenizer = ROOT / "sample_data" / "corpus", ROOT / "sample_data" / "tokenizer"
    words = load_tokenizer(tokenizer, "", of="tokenizer")
    small = {"vocab_size": len(words), "num_hidden_layers": 2, "initializer_range": 0.1}
    config = DistillConfig(
        sequences=prepared(corpus, tokenizer, tmp_path),
        teacher=save(small_bert(**small), words, tmp_path / "teacher"),
        student=tmp_path / "student",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=1,
        max_train_steps=STEPS,
        learning_rate=1e-3,
        dropout=0.0,
        logging_steps=1,
        mixed_precision="no",
    )
    distill(config)
    ours = [row["loss"] for row in read_log(config.student)]
    assert len(ours) == STEPS
    assert sum(ours[-20:]) < 0.95 * sum(ours[:20])
    assert ours == pytest.approx(textbook_curve(config, load_teacher(config, words)), rel=0, abs=1e-4)
