import pytest
import torch
from transformers import DistilBertForMaskedLM

from bert_distillation.errors import InputError
from bert_distillation.student import (
    LAYER_NAMES,
    layers_to_copy,
    narrow_student,
    parse_layers,
    student_from_teacher,
    width_projection,
)
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


@pytest.mark.parametrize(
    ("layers", "numbers"), [("", []), ("0,2,4,7,9,11", [0, 2, 4, 7, 9, 11]), (" 1, 3 ", [1, 3]), ("3", [3])]
)
def test_layers_are_written_as_numbers_with_commas_between(layers, numbers):
    assert parse_layers(layers) == numbers


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ("0,two", "numbers with commas"),
        ("0;2", "numbers"),
        ("0,,2", "numbers"),
        ("2,0", "rise"),
        ("1,1", "each named once"),
        ("-1,2", "rise from 0 or more"),
    ],
)
def test_layers_that_cannot_be_read_are_refused_with_what_was_given(layers, words):
    with pytest.raises(InputError, match=words) as error:
        parse_layers(layers)
    assert repr(layers) in str(error.value)


def test_the_named_layers_are_copied_and_no_others():
    teacher = small_bert()
    student = student_from_teacher(teacher, 4, layers=[1, 2])
    assert student.config.n_layers == len(student.distilbert.transformer.layer) == 2
    for index, layer in zip([1, 2], student.distilbert.transformer.layer, strict=True):
        expected = teacher.bert.encoder.layer[index].output.dense.weight
        assert torch.equal(layer.ffn.lin2.weight, expected)


def test_a_layer_that_the_teacher_lacks_is_refused():
    with pytest.raises(InputError, match="layers names layer 4, but the teacher's layers are 0 to 3"):
        student_from_teacher(small_bert(), 2, layers=[0, 4])


@pytest.mark.parametrize(("width", "heads", "units"), [(24, 3, 48), (16, 2, 32), (8, 1, 16)])
def test_heads_and_feed_forward_layers_follow_the_width(width, heads, units):
    student = narrow_student(small_bert().config, 2, width)
    assert (student.config.dim, student.config.n_heads, student.config.hidden_dim) == (width, heads, units)
    logits = student(torch.tensor([[2, 7, 8, 3]])).logits
    assert logits.shape[-1] == student.config.vocab_size


@pytest.mark.parametrize("width", [4, 12, 31, 40, 64])
def test_a_width_that_heads_cannot_follow_or_that_is_more_than_the_teachers_is_refused(width):
    with pytest.raises(InputError, match=f"hidden_size is {width}, .* 4 heads; give a multiple of 8 up to 32"):
        narrow_student(small_bert().config, 2, width)


def test_a_projection_to_the_teachers_width_is_learnt_only_where_the_widths_differ():
    teacher = small_bert()
    assert width_projection(student_from_teacher(teacher, 2).config, teacher.config) is None
    student = narrow_student(teacher.config, 2, 16)
    projection = width_projection(student.config, teacher.config)
    hidden_states = student.distilbert(torch.tensor([[2, 7, 8, 3]])).last_hidden_state
    assert projection(hidden_states).shape == (1, 4, 32)
    assert not any("projection" in name for name in student.state_dict())
