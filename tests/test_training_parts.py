"""Parts of the training loop, one at a time: held-out text, data, optimizer, log, and what a model must fit."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast

from bert_distillation import held_out, training
from bert_distillation.batches import BatchOrder, MaskedSequences, StepPlan, batches_by_step
from bert_distillation.checkpoints import RunIdentity
from bert_distillation.distill import DistillConfig, distill
from bert_distillation.errors import InputError
from bert_distillation.held_out import held_out_sums
from bert_distillation.losses import MaskedLanguageModeling
from bert_distillation.masked_lm import freeze_idle_biases
from bert_distillation.packing import Packing
from bert_distillation.pretrain import PretrainConfig, pretrain
from bert_distillation.processes import draw_apart
from bert_distillation.progress import TrainingLog
from bert_distillation.sequences import open_sequences, sequence_lengths
from bert_distillation.training import make_optimizer, run_identity
from small_batches import packed_batch
from small_models import TEXTS, save, small_bert, small_sequences


@pytest.fixture(scope="module")
def sequences(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sequences(tmp_path_factory.mktemp("data") / "sequences", tokenizer, TEXTS)


def test_processes_that_share_held_out_text_measure_what_one_does(sequences, tokenizer, monkeypatch):
    monkeypatch.setattr(held_out, "BATCH_SIZE", 5)  # 36 sequences: eight batches, the last of one
    model = small_bert()
    whole = held_out_sums(model, sequences, tokenizer, 0.15)
    shares = torch.stack([held_out_sums(model, sequences, tokenizer, 0.15, share=(rank, 3)) for rank in range(3)])
    assert (shares[:, 1] > 0).all()
    torch.testing.assert_close(shares.sum(dim=0), whole, rtol=1e-6, atol=0)
    assert model.training


def test_while_a_step_is_computed_the_next_one_is_prepared_whole(sequences, tokenizer, monkeypatch):
    """Else a GPU waits at the begin of each step for what a few batches of prefetching did not cover."""
    given: list[object] = []

    class Noted(BatchOrder):
        def __iter__(self) -> Iterator[list]:
            for batch in super().__iter__():
                given.append(batch)
                yield batch

    corpus = open_sequences(sequences)
    packing = Packing(sequence_lengths(corpus), 40, seed=0)
    plan = StepPlan(packing=packing, per_device_batch_size=1, batches_per_step=6, num_processes=1)
    steps = batches_by_step(MaskedSequences(corpus, tokenizer, 0.15, 0, 40), Noted(plan, 0, 0, 100), workers=1)
    next(steps)
    deadline = time.monotonic() + 30
    while len(given) < 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(given) >= 12


def test_only_matrices_decay(sequences, tmp_path):
    model = small_bert()
    config = PretrainConfig(sequences=sequences, model=tmp_path, weight_decay=0.1)
    optimizer = make_optimizer(list(model.parameters()), config, has_scaler=False)
    decay = {id(weight): group["weight_decay"] for group in optimizer.param_groups for weight in group["params"]}
    for name, parameter in model.named_parameters():
        is_free = name.endswith("bias") or "LayerNorm" in name
        assert decay[id(parameter)] == (0.0 if is_free else 0.1), name


def test_a_checkpoint_of_when_all_weights_decayed_is_of_another_run(sequences, tmp_path, monkeypatch, capsys):
    steps = {"max_train_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    sizes = {"num_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    settings = {"sequences": sequences, "mixed_precision": "no", "checkpoints": tmp_path / "checkpoints"}
    config = PretrainConfig(model=tmp_path / "model", **settings, **steps, **sizes)

    def as_before(*arguments: object) -> RunIdentity:
        found = run_identity(*arguments)
        return RunIdentity({name: value for name, value in found.shape.items() if name != "decays"}, found.split)

    def all_together(parameters: list, config: PretrainConfig, has_scaler: bool) -> torch.optim.AdamW:
        return torch.optim.AdamW(parameters)

    with monkeypatch.context() as patch:
        patch.setattr(training, "run_identity", as_before)
        patch.setattr(training, "make_optimizer", all_together)
        pretrain(config)
    pretrain(config)
    assert "belongs to another run" in capsys.readouterr().out


@pytest.mark.parametrize("processes", [1, 3])
def test_all_spikes_are_counted_once_whatever_the_number_of_processes(processes, tmp_path):
    logs = [TrainingLog(tmp_path, {"mlm": 1.0}) for _ in range(2)]
    for log, spikes in zip(logs, (3, 4), strict=True):
        log.sums, log.spikes.spikes = {"mlm": 1.0}, spikes
    states, accelerator = [log.state() for log in logs], Accelerator(cpu=True)
    total = 0
    for rank in range(processes):
        accelerator.state.process_index, accelerator.state.num_processes = rank, processes
        found = TrainingLog(tmp_path, {"mlm": 1.0})
        found.load(states, [], accelerator)
        total += found.spikes.spikes
    assert total == 7


def test_a_model_of_fewer_words_than_the_sequences_is_refused(sequences, tokenizer, tmp_path):
    small = save(small_bert(vocab_size=len(tokenizer) - 1), tokenizer, tmp_path / "small")
    settings = {"sequences": sequences, "mixed_precision": "no"}
    sentence = rf"its tokenizer has {len(tokenizer)} words and the model {len(tokenizer) - 1};"
    with pytest.raises(InputError, match=f"initial_model: {sentence}"):
        pretrain(PretrainConfig(model=tmp_path / "model", initial_model=small, **settings))
    with pytest.raises(InputError, match=f"teacher: {sentence}"):
        distill(DistillConfig(student=tmp_path / "student", teacher=small, **settings))


def test_a_teacher_whose_vocabulary_layer_is_its_own_is_refused(sequences, tokenizer, tmp_path):
    untied = save(small_bert(tie_word_embeddings=False), tokenizer, tmp_path / "untied")
    with pytest.raises(InputError, match="teacher: its vocabulary layer has weights of its own"):
        distill(DistillConfig(sequences=sequences, student=tmp_path / "student", teacher=untied, mixed_precision="no"))


def test_a_model_saved_in_half_precision_is_trained_in_single(sequences, tokenizer, tmp_path):
    half = save(small_bert().bfloat16(), tokenizer, tmp_path / "half")
    steps = {"max_train_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    settings = {"sequences": sequences, "initial_model": half, "mixed_precision": "no", "logging_steps": 1}
    pretrain(PretrainConfig(model=tmp_path / "model", learning_rate=1e-5, **steps, **settings))
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "model")
    moved = [a != b.float() for a, b in zip(model.parameters(), small_bert().bfloat16().parameters(), strict=True)]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert sum(int(parameter.sum()) for parameter in moved) > 0.5 * model.num_parameters(), "steps too small for bf16"


def test_each_process_draws_dropout_of_its_own_and_one_alone_as_ever():
    drawn = []
    for rank in range(3):
        torch.manual_seed(2**32 - 2)
        draw_apart(2**32 - 2, rank)
        drawn.append(torch.rand(4).tolist())
    assert drawn[0] == torch.rand(4, generator=torch.Generator().manual_seed(2**32 - 2)).tolist()
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


@pytest.mark.parametrize("is_tied", [True, False])
def test_every_parameter_that_is_trained_has_a_gradient(is_tied: bool):
    """Several processes wait for each of them."""
    model = small_bert(tie_word_embeddings=is_tied)
    freeze_idle_biases(model)
    batch = packed_batch()
    total, _ = MaskedLanguageModeling(model)(batch, {"mlm": torch.ones(())})
    total.backward()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert [name for name, parameter in trained.items() if parameter.grad is None] == []
    assert ("cls.predictions.bias" in trained) is is_tied
