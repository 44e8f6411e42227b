"""Numbers that are none any more: the run ends with the step, the last good checkpoint and what helps."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from transformers import PreTrainedTokenizerFast

from bert_distillation import losses, training
from bert_distillation.errors import InputError, PreemptedError
from bert_distillation.preemption import Preemption
from bert_distillation.pretrain import PretrainConfig, pretrain
from small_models import TEXTS, small_sequences

SIZES = {"num_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
STEPS = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "max_train_steps": 4}


@pytest.fixture
def train(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretrains for four steps; the update of the step `spoiled` makes weights that are no numbers."""
    sequences = small_sequences(tmp_path / "sequences", tokenizer, TEXTS)

    def train(spoiled: int, **settings: object) -> None:
        class Spoiled(torch.optim.AdamW):
            def step(self, closure: object = None) -> None:
                super().step(closure)
                (taken,) = {int(state["step"]) for state in self.state.values()}
                if taken == spoiled:
                    self.param_groups[0]["params"][0].data.fill_(float("nan"))

        monkeypatch.setattr(training, "AdamW", Spoiled)
        given = {"sequences": sequences, "model": tmp_path / "model", "mixed_precision": "no"} | SIZES | STEPS
        pretrain(PretrainConfig(**(given | settings)))

    return train


def test_after_a_resume_the_last_good_checkpoint_is_the_one_that_training_went_on_from(
    train: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked = iter([False, True])
    with monkeypatch.context() as patch:
        patch.setattr(Preemption, "agreed", lambda self: next(asked))
        with pytest.raises(PreemptedError, match="told to stop after step 2 of 4"):
            train(spoiled=0, checkpoints=tmp_path / "checkpoints")
    sentence = r"at step 4 .*The last good checkpoint is .*step-00000002-\w+\. Lower --learning_rate"
    with pytest.raises(InputError, match=sentence):
        train(spoiled=3, checkpoints=tmp_path / "checkpoints", logging_steps=4)


def test_weights_that_the_last_update_spoiled_are_told_with_what_helps_also_without_checkpoints(
    train: Callable[..., None], tmp_path: Path
):
    sentence = r"^The weights are not finite at step 4 .* There is no checkpoint before it\. Lower --learning_rate"
    with pytest.raises(InputError, match=sentence):
        train(spoiled=4)
    assert not (tmp_path / "model" / "model.safetensors").exists()


@pytest.fixture
def in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast and a gradient scaler as on a V100, on a CPU."""

    def make_accelerator(_: str) -> Accelerator:
        made = Accelerator(mixed_precision="fp16", cpu=True)
        made.native_amp, made.scaler = True, torch.amp.GradScaler("cpu", init_scale=2.0**16)
        return made

    monkeypatch.setattr("bert_distillation.pretrain.make_accelerator", make_accelerator)
    monkeypatch.setattr(losses, "shared_weights", lambda _: (None, None))


@pytest.mark.usefixtures("in_fp16")
def test_a_step_that_fp16_left_out_leaves_nothing_in_the_log_and_in_the_checkpoints(
    train: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    forward, calls = losses.MaskedLanguageModeling.forward, []

    def overflow_once(self: object, *arguments: object) -> losses.Losses:
        total, sums = forward(self, *arguments)
        calls.append(total)
        factor = torch.inf if len(calls) == 2 else 1.0
        return total * factor, {name: value * factor for name, value in sums.items()}

    monkeypatch.setattr(losses.MaskedLanguageModeling, "forward", overflow_once)
    train(spoiled=0, checkpoints=tmp_path / "checkpoints", checkpointing_steps=1, keep_checkpoints=9, logging_steps=3)
    states = [json.loads(file.read_text()) for file in (tmp_path / "checkpoints").glob("step-*/state.json")]
    assert len(states) == 4
    assert "Infinity" not in json.dumps(states)
    assert "NaN" not in json.dumps(states)
    lines = [json.loads(line) for line in (tmp_path / "model" / "training_log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["skipped_steps"]) for line in lines] == [(3, 1), (4, 1)]


@pytest.mark.usefixtures("in_fp16")
def test_a_run_whose_last_steps_fp16_left_out_says_so(
    train: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    forward, calls = losses.MaskedLanguageModeling.forward, []

    def overflow_late(self: object, *arguments: object) -> losses.Losses:
        total, sums = forward(self, *arguments)
        calls.append(total)
        return total * (torch.inf if len(calls) > 2 else 1.0), sums

    monkeypatch.setattr(losses.MaskedLanguageModeling, "forward", overflow_late)
    train(spoiled=0, logging_steps=2)
    assert "step 4/4 | left out in fp16: 2 steps so far\n" in capsys.readouterr().out
    assert (tmp_path / "model" / "model.safetensors").exists()


@pytest.mark.usefixtures("in_fp16")
def test_gradients_that_are_no_numbers_at_any_scale_end_a_run_in_fp16(
    train: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    forward = losses.MaskedLanguageModeling.forward

    def without_gradient(self: object, *arguments: object) -> losses.Losses:
        total, sums = forward(self, *arguments)
        total.register_hook(lambda gradient: gradient * torch.nan)
        return total, sums

    monkeypatch.setattr(losses.MaskedLanguageModeling, "forward", without_gradient)
    rest = r"There is no checkpoint before it\. Use --mixed_precision bf16 or no\."
    sentence = (
        r"^17 steps were left out in fp16, whose gradients were not finite, the last at step 17 \(learning rate 0.001\)"
    )
    with pytest.raises(InputError, match=rf"{sentence}\. {rest}$"):
        train(spoiled=0, max_train_steps=30, logging_steps=1, learning_rate=1e-3, warmup_ratio=0.0)
    with pytest.raises(InputError, match=r"^4 steps were left out in fp16.* the last at step 4 "):
        train(spoiled=0)
    assert not (tmp_path / "model" / "model.safetensors").exists()
