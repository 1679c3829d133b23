"""Optimizers and schedules against torch's own and against the formulas of algorithms.md 10."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from slimtune.compression.stages import Train
from slimtune.compression.training.optimizers import Learner, lr_factor, make_optimizer

OPTIMIZERS = ("sgd", "adamw", "shampoo")
PLAIN = Train(lr=0.1, momentum=0.0, weight_decay=0.0, schedule="constant")


class Holder(nn.Module):
    """Nothing but parameters."""

    def __init__(self, *values: Tensor) -> None:
        super().__init__()
        self.values = nn.ParameterList(value.clone() for value in values)


def after(settings: Train, value: Tensor, gradients: list[Tensor]) -> Tensor:
    """The parameter after one step for each gradient."""
    holder = Holder(value)
    optimizer = make_optimizer([holder], settings)
    for gradient in gradients:
        holder.values[0].grad = gradient.clone()
        optimizer.step()
    return holder.values[0].detach()


def problem() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
    )
    images = torch.randn(48, 1, 4, 4)
    return model, images, images.mean(dim=(1, 2, 3)).mul(8).clamp(-1, 1).round().long() + 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_and_repeats_itself_bit_for_bit(name: str) -> None:
    results = []
    for _ in range(2):
        model, images, labels = problem()
        settings = Train(optimizer=name, lr=0.01 if name == "adamw" else 0.03)
        learner = Learner(model, settings, 60)
        learner.train()
        losses = []
        for _ in range(60):
            loss = nn.functional.cross_entropy(model(images), labels)
            learner.step(loss)
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
        results.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*results)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torchs_with_nesterov_momentum_and_decay_on_matrices_only(momentum: float) -> None:
    torch.manual_seed(0)
    matrix, vector = torch.randn(3, 4), torch.randn(5)
    settings = Train(lr=0.1, momentum=momentum, weight_decay=0.01)
    for value, decay in ((matrix, 0.01), (vector, 0.0)):
        gradients = [torch.randn_like(value) for _ in range(4)]
        theirs = nn.Parameter(value.clone())
        reference = torch.optim.SGD(
            [theirs], 0.1, momentum, weight_decay=decay, nesterov=momentum > 0
        )
        for gradient in gradients:
            theirs.grad = gradient.clone()
            reference.step()
        torch.testing.assert_close(after(settings, value, gradients), theirs.detach())


def test_adamw_is_torchs_with_the_momentum_as_first_beta() -> None:
    torch.manual_seed(0)
    value, gradients = torch.randn(3, 4), [torch.randn(3, 4) for _ in range(4)]
    settings = Train(optimizer="adamw", lr=0.01, momentum=0.8, weight_decay=0.1)
    theirs = nn.Parameter(value.clone())
    reference = torch.optim.AdamW([theirs], 0.01, (0.8, 0.999), weight_decay=0.1)
    for gradient in gradients:
        theirs.grad = gradient.clone()
        reference.step()
    torch.testing.assert_close(after(settings, value, gradients), theirs.detach())


SHAMPOO = replace(PLAIN, optimizer="shampoo")


def last_step(value: Tensor, gradient: Tensor, steps: int = 20) -> Tensor:
    """How far the parameter moves in the last of ``steps`` steps with one gradient, over lr."""
    before = after(SHAMPOO, value, [gradient] * (steps - 1))
    return (before - after(SHAMPOO, value, [gradient] * steps)) / SHAMPOO.lr


def test_shampoo_steps_along_the_orthogonal_factor_with_the_length_of_sgds_step() -> None:
    """Section 10: for G = U S V', L^(-1/4) G R^(-1/4) is U V' up to scale; grafting scales it."""
    torch.manual_seed(0)
    u, _, vt = torch.linalg.svd(torch.randn(6, 6))
    gradient = u @ torch.diag(torch.linspace(1, 3, 6)) @ vt
    step = last_step(torch.zeros(6, 6), gradient)
    expected = u @ vt * gradient.norm() / 6**0.5
    torch.testing.assert_close(step, expected, rtol=1e-2, atol=1e-2)


def test_shampoo_takes_the_sign_of_a_diagonal_gradient() -> None:
    """Section 10, again up to the length of SGD's step."""
    gradient = torch.diag(torch.tensor([1.0, -2.0, 3.0, -0.5]))
    step = last_step(torch.zeros(4, 4), gradient)
    expected = gradient.sign() * gradient.norm() / 2
    torch.testing.assert_close(step, expected, rtol=1e-2, atol=1e-2)


def test_shampoo_scales_each_dimension_of_a_filter_bank_by_its_own_root() -> None:
    """Order k has the exponent -1/(2k): with G of rank one only its length is left to choose."""
    torch.manual_seed(0)
    a, b, c, d = (torch.randn(n) for n in (4, 3, 2, 2))
    gradient = torch.einsum("i,j,k,l->ijkl", a, b, c, d)
    step = last_step(torch.zeros(4, 3, 2, 2), gradient)
    torch.testing.assert_close(step, gradient, rtol=1e-2, atol=1e-3)


def test_shampoo_is_sgd_until_it_has_statistics_and_for_vectors_always() -> None:
    torch.manual_seed(0)
    matrix, vector = torch.randn(4, 4), torch.randn(4)
    torch.testing.assert_close(last_step(torch.zeros(4, 4), matrix, steps=5), matrix)
    torch.testing.assert_close(last_step(torch.zeros(4), vector, steps=25), vector)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_is_on_matrices_and_filters_alone(name: str) -> None:
    settings = Train(optimizer=name, lr=0.1, weight_decay=0.5)
    for value in (torch.ones(3, 3), torch.ones(2, 2, 3, 3), torch.ones(3), torch.tensor(1.0)):
        moved = after(settings, value, [torch.zeros_like(value)])
        if value.ndim > 1:
            assert (moved < value).all()
        else:
            assert torch.equal(moved, value)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_parameters_stay_and_extra_modules_are_trained_along(name: str) -> None:
    torch.manual_seed(0)
    model, extra = nn.Linear(4, 4), nn.Linear(4, 2)
    model.bias.requires_grad_(False)
    before = [p.detach().clone() for p in (model.weight, model.bias, extra.weight, extra.bias)]
    learner = Learner(model, Train(optimizer=name), 10, [extra])
    learner.train()
    learner.step(extra(model(torch.randn(8, 4))).square().mean())
    now = (model.weight, model.bias, extra.weight, extra.bias)
    assert [torch.equal(a, b) for a, b in zip(now, before, strict=True)] == [
        False, True, False, False
    ]  # fmt: skip


def test_gradients_of_the_step_before_are_gone_and_may_be_changed_before_the_step() -> None:
    model = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(model.weight)
    learner = Learner(model, replace(PLAIN, lr=1.0), 10)
    inputs = torch.ones(1, 2)

    def double() -> None:
        model.weight.grad *= 2

    learner.step(model(inputs).sum())
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 2), -1.0))
    learner.step(model(inputs).sum(), after_backward=double)
    torch.testing.assert_close(model.weight.detach(), torch.full((1, 2), -3.0))


def test_train_mode_reaches_the_model_and_what_is_trained_along() -> None:
    model, extra = nn.Linear(2, 2).eval(), nn.BatchNorm2d(2).eval()
    Learner(model, PLAIN, 1, [extra]).train()
    assert model.training and extra.training


STEPS = 40
THEIRS = {
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS),
    "step": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [20, 30], 0.2),
    "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.2 ** (1 / STEPS)),
    "constant": lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0),
}


@pytest.mark.parametrize("schedule", list(THEIRS))
def test_the_schedules_are_torchs(schedule: str) -> None:
    model = nn.Linear(2, 2)
    settings = Train(lr=0.1, schedule=schedule, decay=0.2)
    learner = Learner(model, settings, STEPS)
    reference = torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)
    scheduler = THEIRS[schedule](reference)
    for _ in range(STEPS):
        assert learner.lr == pytest.approx(scheduler.get_last_lr()[0], rel=1e-6)
        learner.step(model(torch.ones(1, 2)).sum())
        reference.step()
        scheduler.step()


@pytest.mark.parametrize("schedule", list(THEIRS))
def test_a_schedule_starts_at_one_never_rises_and_stays_where_it_ends(schedule: str) -> None:
    factor = lr_factor(Train(schedule=schedule, decay=0.1), 10)
    values = [factor(step) for step in range(15)]
    assert values[0] == 1 and values == sorted(values, reverse=True)
    ends = {"cosine": 0.0, "step": 0.01, "exponential": 0.1, "constant": 1.0}
    assert values[10:] == pytest.approx([ends[schedule]] * 5)
    assert lr_factor(Train(schedule=schedule), 0)(0) >= 0
