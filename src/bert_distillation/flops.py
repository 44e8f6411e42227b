"""FLOP of the matrix products of a training step, for each token: what a wall time is worked out from.

A product of (m, k) and (k, n) is 2 * m * k * n. Element-wise work (activations, norms, softmax, dropout), the look-up
of embeddings and the optimizer are left out, and so is what an attention kernel computes a second time in its backward
pass. Sizes: D hidden units, F feed-forward units, V words, L tokens in a row.
"""

from dataclasses import dataclass

from transformers import BertConfig, DistilBertConfig

ModelConfig = BertConfig | DistilBertConfig
TRAINING = 3  # times the forward pass: the backward pass makes two products for each one, by input and by weight


@dataclass(frozen=True, kw_only=True)
class StepFlops:
    """FLOP for each token of a step: forward of a teacher, forward and backward of what is trained."""

    teacher_body: float
    student_body: float
    vocabulary_layers: float
    width_projection: float = 0.0  # of a student narrower than its teacher

    @property
    def total(self) -> float:
        """All of them together."""
        return self.teacher_body + self.student_body + self.vocabulary_layers + self.width_projection


def body_flops(config: ModelConfig, row_length: int) -> int:
    """Forward pass of all layers, a token: four D x D products, two D x F, and attention to the whole row."""
    width, units, layers = _sizes(config)
    return layers * (2 * (4 * width**2 + 2 * width * units) + 4 * row_length * width)


def vocabulary_flops(config: ModelConfig) -> int:
    """Forward pass of the vocabulary layer, a token that goes through it: the D x D transform and the projection."""
    width, _, _ = _sizes(config)
    return 2 * width**2 + 2 * width * config.vocab_size


def distillation_flops(
    teacher: ModelConfig, student: ModelConfig, row_length: int, vocabulary_share: float = 1.0
) -> StepFlops:
    """A step of distillation, for each token.

    vocabulary_share: of the tokens that go through the vocabulary layers; 1 for soft targets on all of them,
    `mlm_probability` for soft targets on the masked ones.
    """
    vocabulary = vocabulary_flops(teacher) + TRAINING * vocabulary_flops(student)
    teacher_width, student_width = _sizes(teacher)[0], _sizes(student)[0]
    return StepFlops(
        teacher_body=body_flops(teacher, row_length),
        student_body=TRAINING * body_flops(student, row_length),
        vocabulary_layers=vocabulary_share * vocabulary,
        width_projection=0.0 if student_width == teacher_width else TRAINING * 2 * student_width * teacher_width,
    )


def _sizes(config: ModelConfig) -> tuple[int, int, int]:
    """(D, F, layers)."""
    if isinstance(config, DistilBertConfig):
        return config.dim, config.hidden_dim, config.n_layers
    return config.hidden_size, config.intermediate_size, config.num_hidden_layers
