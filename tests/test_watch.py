import pytest
import torch

from bert_distillation.watch import WARM_STEPS, SpikeCounter


def losses(count: int = 200) -> torch.Tensor:
    """A curve that falls, with noise."""
    noise = torch.randn(count, generator=torch.Generator().manual_seed(0))
    return 10 * torch.exp(-torch.arange(count) / 80) + 3 + 0.2 * noise


def count(curve: torch.Tensor) -> float:
    counter = SpikeCounter()
    for loss in curve:
        counter.add(loss)
    return float(counter.spikes)


def test_a_noisy_curve_that_falls_has_no_spikes():
    assert count(losses()) == 0


def test_each_step_far_above_those_before_is_a_spike_also_if_they_follow_each_other():
    curve = losses()
    for step in (60, 61, 120):
        curve[step] += 8
    assert count(curve) == 3


def test_the_first_steps_are_never_spikes():
    curve = losses()
    curve[WARM_STEPS - 2] += 50
    assert count(curve) == 0


def test_a_counter_goes_on_from_its_state_as_if_nothing_had_happened():
    curve = losses()
    curve[150] += 9
    whole, first = SpikeCounter(), SpikeCounter()
    for loss in curve:
        whole.add(loss)
    for loss in curve[:90]:
        first.add(loss)
    second = SpikeCounter()
    second.load(first.state())
    for loss in curve[90:]:
        second.add(loss)
    assert second.state() == pytest.approx(whole.state(), rel=1e-12)
    assert second.state()["spikes"] == 1


def test_a_loss_that_stays_up_is_a_spike_only_at_first():
    noise = 0.01 * torch.randn(1000, generator=torch.Generator().manual_seed(0))
    curve = 4 + noise
    curve[200:] += 0.2
    assert 3 <= count(curve) < 60
    even = torch.cat([torch.full((30,), 4.0), torch.full((1000,), 4.2)])
    assert 1 <= count(even) < 300


def test_a_larger_share_of_the_batch_is_no_spike():
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0))
    first, second = SpikeCounter(), SpikeCounter()
    for loss in (4 + 0.2 * noise[:200]) / 4:  # of one process of four, of a quarter of the tokens
        first.add(loss)
    second.load(first.state(), scale=4)
    for loss in 4 + 0.1 * noise[200:]:
        second.add(loss)
    assert second.state()["spikes"] == 0
