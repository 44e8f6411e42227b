"""The teacher as it is read in a distillation step."""

import copy

import pytest
import torch
from transformers import BertForMaskedLM

from bert_distillation import frozen, vocabulary
from bert_distillation.frozen import PackedLinear, can_pack, freeze_teacher
from bert_distillation.masked_lm import vocabulary_projection
from bert_distillation.precision import cpu_has_bf16
from small_models import small_bert

CPU = torch.device("cpu")
INPUTS = {"input_ids": torch.arange(5, 45).view(4, 10), "attention_mask": torch.ones(4, 10, dtype=torch.int64)}
needs_packing = pytest.mark.skipif(not can_pack(CPU, torch.float32), reason="needs a torch with oneDNN")


def hidden_states(model: BertForMaskedLM) -> torch.Tensor:
    with torch.no_grad():
        return model.bert(**INPUTS).last_hidden_state


@needs_packing
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_a_packed_teacher_has_the_hidden_states_of_the_teacher(activation):
    teacher = small_bert(hidden_act=activation).eval()
    packed = freeze_teacher(copy.deepcopy(teacher), CPU, torch.float32)
    assert sum(isinstance(module, PackedLinear) for module in packed.modules()) == 6 * len(teacher.bert.encoder.layer)
    torch.testing.assert_close(hidden_states(packed), hidden_states(teacher), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(not cpu_has_bf16(), reason="needs a CPU with bf16")
def test_in_bf16_too():
    teacher = small_bert().eval()
    packed = freeze_teacher(copy.deepcopy(teacher), CPU, torch.bfloat16)
    error = hidden_states(packed).float() - hidden_states(teacher)
    assert error.norm() < 0.01 * hidden_states(teacher).norm()


def test_words_that_are_never_taken_make_its_vocabulary_layer_fast_once(monkeypatch):
    monkeypatch.setitem(vocabulary.WORDS_OF_A_VECTOR, ("cpu", 4), 64)
    teacher = small_bert().eval()
    longer = freeze_teacher(copy.deepcopy(teacher), CPU, torch.float32)
    states, words = torch.randn(3, teacher.config.hidden_size), teacher.config.vocab_size
    layer = vocabulary_projection(longer, states)
    assert layer.aligned().weight is layer.weight
    assert longer.get_input_embeddings().weight is layer.weight
    assert len(layer.weight) % 64 == 0 != words % 64
    probs = layer.logits().softmax(-1)
    assert not probs[:, words:].any()
    torch.testing.assert_close(probs[:, :words], vocabulary_projection(teacher, states).logits().softmax(-1))
    torch.testing.assert_close(hidden_states(longer), hidden_states(teacher), atol=1e-5, rtol=1e-5)


def test_elsewhere_the_layers_stay_as_they_are(monkeypatch):
    teacher = small_bert().eval()
    monkeypatch.setattr(frozen, "can_pack", lambda *_: False)
    same = freeze_teacher(copy.deepcopy(teacher), CPU, torch.float32)
    assert not any(isinstance(module, PackedLinear) for module in same.modules())
    assert torch.equal(hidden_states(same), hidden_states(teacher))


def test_a_frozen_teacher_has_neither_gradients_nor_dropout():
    teacher = freeze_teacher(small_bert().train(), CPU, torch.float32)
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize(("device", "dtype"), [("cuda", torch.bfloat16), ("cpu", torch.float16)])
def test_only_cpus_in_what_they_multiply_pack(device, dtype):
    assert not can_pack(torch.device(device), dtype)
