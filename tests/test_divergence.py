"""Numbers that are none any more: the run ends with the step, the last good checkpoint and what helps."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from bert_distillation import training
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
