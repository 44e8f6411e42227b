"""How the settings of `distill` shape the student that training starts with."""

from pathlib import Path

import pytest
import torch

from bert_distillation.distill import DistillConfig, new_student
from bert_distillation.errors import InputError
from bert_distillation.student import layers_to_copy
from small_models import small_bert


def config(**settings: object) -> DistillConfig:
    return DistillConfig(sequences=Path("sequences"), student=Path("student"), **settings)


def test_half_the_teachers_layers_evenly_spaced_unless_others_are_named():
    teacher = small_bert(num_hidden_layers=6)
    queries = [layer.attention.self.query.weight for layer in teacher.bert.encoder.layer]
    cases = [({}, layers_to_copy(6, 3)), ({"num_layers": 2}, [0, 5]), ({"layers": "1,2,3,4"}, [1, 2, 3, 4])]
    for settings, layers in cases:
        student = new_student(config(**settings), teacher).distilbert.transformer.layer
        assert len(student) == len(layers)
        assert all(
            torch.equal(layer.attention.q_lin.weight, queries[i]) for i, layer in zip(layers, student, strict=True)
        )


def test_the_number_of_layers_may_be_given_beside_their_names_if_it_agrees():
    assert config(layers="0,2", num_layers=2).num_layers == 2
    with pytest.raises(InputError, match="layers names 2 layers and num_layers is 3; give one of the two"):
        config(layers="0,2", num_layers=3)


def test_a_narrower_student_learns_its_position_embeddings_because_it_has_none_of_the_teachers_to_keep():
    teacher = small_bert()
    for width, learnt in ((0, False), (32, False), (16, True)):
        student = new_student(config(hidden_size=width), teacher)
        assert student.config.dim == (width or 32)
        assert student.distilbert.embeddings.position_embeddings.weight.requires_grad is learnt


def test_a_student_may_begin_with_random_weights_of_the_teachers_width():
    teacher = small_bert()
    student = new_student(config(initialization="random"), teacher)
    assert (student.config.dim, student.config.n_layers) == (32, 2)
    words = student.distilbert.embeddings
    assert not torch.equal(words.word_embeddings.weight, teacher.bert.embeddings.word_embeddings.weight)
    assert words.position_embeddings.weight.requires_grad
    for settings in ({"layers": "0,1"}, {"copy_mlm_transform": True}):
        (name,) = settings
        with pytest.raises(InputError, match=f"{name} is .*, but initialization is random: leave out one of the two"):
            new_student(config(initialization="random", **settings), teacher)
    with pytest.raises(InputError, match="initialization must be one of teacher, random"):
        config(initialization="randm")


@pytest.mark.parametrize("settings", [{"layers": "0,1"}, {"copy_mlm_transform": True}])
def test_a_narrower_student_is_refused_what_only_copying_can_give(settings):
    (name,) = settings
    with pytest.raises(InputError, match=rf"{name} is .* can copy nothing from a teacher of 32; leave out --{name}"):
        new_student(config(hidden_size=16, **settings), small_bert())


def test_a_teacher_with_another_layer_norm_is_told_from_its_student(capsys: pytest.CaptureFixture[str]):
    new_student(config(), small_bert())
    assert capsys.readouterr().out == ""
    new_student(config(), small_bert(layer_norm_eps=1e-3))
    assert "layer_norm_eps is 0.001 and a DistilBERT's 1e-12" in capsys.readouterr().out
