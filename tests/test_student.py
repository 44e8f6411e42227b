import pytest
import torch
from transformers import DistilBertForMaskedLM

from bert_distillation.errors import InputError
from bert_distillation.student import LAYER_NAMES, layers_to_copy, student_from_teacher
from small_models import small_bert


@pytest.mark.parametrize(
    ("teacher_layers", "student_layers", "layers"),
    [(12, 6, [0, 2, 4, 7, 9, 11]), (4, 2, [0, 3]), (6, 3, [0, 3, 5]), (24, 12, None), (3, 3, [0, 1, 2]), (5, 1, [0])],
)
def test_layers_are_spread_evenly_from_first_to_last(teacher_layers, student_layers, layers):
    chosen = layers_to_copy(teacher_layers, student_layers)
    assert len(chosen) == student_layers
    assert chosen == sorted(set(chosen))
    assert layers is None or chosen == layers


@pytest.mark.parametrize("student_layers", [0, 5])
def test_a_student_deeper_than_its_teacher_or_without_layers_is_refused(student_layers):
    with pytest.raises(InputError, match="the teacher has 4 layers; give a number from 1 to 4"):
        layers_to_copy(4, student_layers)


@pytest.mark.parametrize("num_layers", [1, 2, 3, 6, 12])
def test_every_student_layer_equals_its_teacher_layer_bit_for_bit(num_layers):
    teacher = small_bert(num_hidden_layers=12)
    student = student_from_teacher(teacher, num_layers)
    layers = layers_to_copy(12, num_layers)
    assert len(student.distilbert.transformer.layer) == num_layers
    for index, layer in zip(layers, student.distilbert.transformer.layer, strict=True):
        for teacher_name, name in LAYER_NAMES.items():
            expected = teacher.bert.encoder.layer[index].get_submodule(teacher_name).state_dict()
            actual = layer.get_submodule(name).state_dict()
            assert all(torch.equal(actual[key], expected[key]) for key in expected)
        copied = sum(p.numel() for name in LAYER_NAMES.values() for p in layer.get_submodule(name).parameters())
        assert copied == sum(p.numel() for p in layer.parameters()), "no parameter of the layer is left out"


def test_embeddings_and_projection_are_the_teachers_and_the_transform_only_on_request():
    teacher = small_bert()
    for copy in (False, True):
        student = student_from_teacher(teacher, 2, copy_mlm_transform=copy)
        embeddings, expected = student.distilbert.embeddings, teacher.bert.embeddings
        assert torch.equal(embeddings.word_embeddings.weight, expected.word_embeddings.weight)
        assert torch.equal(embeddings.position_embeddings.weight, expected.position_embeddings.weight)
        assert torch.equal(student.vocab_projector.weight, teacher.cls.predictions.decoder.weight)
        assert torch.equal(student.vocab_projector.bias, teacher.cls.predictions.decoder.bias)
        transform = teacher.cls.predictions.transform.dense.weight
        assert torch.equal(student.vocab_transform.weight, transform) is copy


def test_a_student_with_all_layers_and_the_transform_predicts_as_its_teacher_without_token_types():
    teacher = small_bert().eval()
    with torch.no_grad():
        teacher.bert.embeddings.token_type_embeddings.weight.zero_()
    student = student_from_teacher(teacher, teacher.config.num_hidden_layers, copy_mlm_transform=True).eval()
    input_ids = torch.randint(5, 99, (3, 17), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(student(input_ids).logits, teacher(input_ids).logits, atol=1e-5, rtol=1e-5)


def test_the_student_has_no_token_types_no_pooler_and_tied_weights(tmp_path):
    student = student_from_teacher(small_bert(), 2)
    assert not [name for name in student.state_dict() if "token_type" in name or "pooler" in name]
    student.save_pretrained(tmp_path)
    again = DistilBertForMaskedLM.from_pretrained(tmp_path)
    assert again.vocab_projector.weight is again.distilbert.embeddings.word_embeddings.weight
