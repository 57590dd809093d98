import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from modeling.posterclip import losses
from modeling.posterclip.losses import Targets, contrastive_loss, positives_by_id, sigmoid_loss

LOSSES = ["contrastive", "sigmoid"]
GENRES = [{"drama"}, {"drama", "crime"}, {"comedy"}, set(), {"crime", "drama", "comedy"}]


def loss_of(name: str, images: Tensor, texts: Tensor, targets: Targets, bias: float | Tensor = 0.0) -> Tensor:
    if name == "contrastive":
        return contrastive_loss(images, texts, targets)
    return sigmoid_loss(images, texts, torch.as_tensor(bias, dtype=images.dtype), targets)


def loss_of_logits(name: str, logits: Tensor, targets: Targets) -> Tensor:
    return loss_of(name, logits, torch.eye(len(logits), dtype=logits.dtype), targets)


def plain_target(ids: list[int], i: int, j: int, weight: float) -> float:
    both, either = GENRES[i] & GENRES[j], GENRES[i] | GENRES[j]
    return 1.0 if ids[i] == ids[j] else weight * len(both) / len(either) if either else 0.0


def plain_contrastive(logits: Tensor, ids: list[int], weight: float = 0.0) -> float:
    """InfoNCE by its definition, term by term."""
    total, n = 0.0, len(ids)
    for matrix in (logits.tolist(), logits.T.tolist()):
        for i, row in enumerate(matrix):
            targets = [plain_target(ids, i, j, weight) for j in range(n)]
            denominator = math.log(sum(math.exp(value) for value in row))
            total += sum(t * (denominator - value) for t, value in zip(targets, row, strict=True)) / sum(targets)
    return total / (2 * n)


def plain_sigmoid(logits: Tensor, ids: list[int], weight: float = 0.0) -> float:
    """SigLIP's loss by its definition, pair by pair; the same from either side."""
    total, n = 0.0, len(ids)
    for i in range(n):
        for j in range(n):
            target, value = plain_target(ids, i, j, weight), logits[i, j].item()
            total += target * math.log1p(math.exp(-value)) + (1 - target) * math.log1p(math.exp(value))
    return total / n


def multi_hot() -> Tensor:
    return torch.tensor([[name in genres for name in ("comedy", "crime", "drama")] for genres in GENRES])


@pytest.mark.parametrize(("name", "plain"), [("contrastive", plain_contrastive), ("sigmoid", plain_sigmoid)])
@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [5, 5, 2, 3, 5], [7, 7, 7, 7, 7]])
def test_a_loss_is_its_definition(name, plain, ids):
    logits = torch.randn(5, 5, dtype=torch.float64) * 3
    loss = loss_of_logits(name, logits, Targets(torch.tensor(ids)))
    assert loss.item() == pytest.approx(plain(logits, ids), rel=1e-12)


@pytest.mark.parametrize(("name", "plain"), [("contrastive", plain_contrastive), ("sigmoid", plain_sigmoid)])
@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [5, 5, 2, 3, 5]])
@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_a_loss_with_soft_targets_is_its_definition(name, plain, ids, weight):
    logits = torch.randn(5, 5, dtype=torch.float64) * 3
    loss = loss_of_logits(name, logits, Targets(torch.tensor(ids), multi_hot(), weight))
    assert loss.item() == pytest.approx(plain(logits, ids, weight), rel=1e-6)
    assert loss.item() != pytest.approx(plain(logits, ids), rel=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_soft_targets_of_weight_0_give_the_very_loss_of_hard_ones(name):
    logits, ids = torch.randn(5, 5) * 30, torch.tensor([5, 5, 2, 3, 5])
    soft, hard = Targets(ids, multi_hot(), 0.0), Targets(ids)
    assert torch.equal(loss_of_logits(name, logits, soft), loss_of_logits(name, logits, hard))


def test_soft_targets_are_1_for_the_same_movie_and_the_weighted_overlap_of_genres_for_others():
    targets = Targets(torch.tensor([0, 1, 2, 3, 0]), multi_hot(), 0.6).tile(slice(0, 5), slice(0, 5))
    expected = [
        [1.0, 0.3, 0.0, 0.0, 1.0],
        [0.3, 1.0, 0.0, 0.0, 0.4],
        [0.0, 0.0, 1.0, 0.0, 0.2],
        [0.0, 0.0, 0.0, 1.0, 0.0],
        [1.0, 0.4, 0.2, 0.0, 1.0],
    ]
    torch.testing.assert_close(targets, torch.tensor(expected))


def full_matrix(name: str, logits: Tensor, targets: Tensor) -> Tensor:
    """A loss of the whole matrix of logits, with the gradients of torch."""
    if name == "sigmoid":
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)
    images, texts = (t / t.sum(1, keepdim=True) for t in (targets, targets.T))
    return (F.cross_entropy(logits, images) + F.cross_entropy(logits.T, texts)) / 2


def batch(dtype: torch.dtype, pairs: int = 37) -> tuple[list[Tensor], Targets]:
    """The leaves of a loss (images, texts, log of the scale, bias), and targets with repeated movies and genres."""
    generator = torch.Generator().manual_seed(0)
    sides = torch.randn(2, pairs, 8, generator=generator, dtype=dtype)
    scalars = torch.tensor([2.5, -3.0], dtype=dtype)
    leaves = [value.clone().requires_grad_() for value in (*F.normalize(sides, dim=-1), *scalars)]
    ids = torch.randint(0, 30, (pairs,), generator=generator)
    return leaves, Targets(ids, torch.randint(0, 2, (pairs, 4), generator=generator), 0.3)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("kind", ["by id", "by two keys", "by genres"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("tile", [1, 8, 37, 1024])
def test_the_loss_and_all_gradients_are_those_of_the_full_matrix(name, kind, dtype, tolerance, tile, monkeypatch):
    monkeypatch.setattr(losses, "TILE", tile)
    leaves, targets = batch(dtype)
    if kind == "by id":
        targets = Targets(targets.ids)
    elif kind == "by two keys":
        targets = Targets(torch.stack([targets.ids, 100 + targets.ids // 5], 1))
    images, texts, scale, bias = leaves
    loss = loss_of(name, images * scale.exp(), texts, targets, bias)
    logits = images @ texts.T * scale.exp() + (bias if name == "sigmoid" else 0)
    expected = full_matrix(name, logits, targets.tile(slice(0, 37), slice(0, 37), dtype))
    torch.testing.assert_close(loss, expected, atol=tolerance, rtol=tolerance)
    used = leaves if name == "sigmoid" else leaves[:3]
    for got, wanted in zip(torch.autograd.grad(3 * loss, used), torch.autograd.grad(3 * expected, used), strict=True):
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(got, wanted, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradients_are_those_of_finite_differences(name, monkeypatch):
    monkeypatch.setattr(losses, "TILE", 3)
    leaves, _ = batch(torch.float64, pairs=5)
    targets = Targets(torch.tensor([0, 1, 2, 1, 4]))

    def loss(images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        return loss_of(name, images * scale.exp(), texts, targets, bias)

    assert torch.autograd.gradcheck(loss, leaves)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("shares", [[13, 13, 11], [20, 17, 0]])
def test_the_shares_of_processes_add_up_to_the_loss_of_the_joint_batch(name, shares, monkeypatch):
    """Each process has some of the images and all texts; the last may have none."""
    monkeypatch.setattr(losses, "TILE", 8)
    leaves, joint = batch(torch.float64)
    images, texts, scale, bias = leaves
    expected = loss_of(name, images * scale.exp(), texts, joint, bias)
    parts = (images * scale.exp()).split(shares)
    targets = [Targets(joint.ids, joint.genres, 0.3, first) for first in (0, shares[0], sum(shares[:2]))]
    if name == "contrastive":
        sums: list[Tensor] = []
        for part, target in zip(parts, targets, strict=True):
            contrastive_loss(part, texts, target, lambda own: (sums.append(own), own[None])[1])
        of_shares = [
            contrastive_loss(p, texts, t, lambda _: torch.stack(sums)) for p, t in zip(parts, targets, strict=True)
        ]
    else:
        of_shares = [sigmoid_loss(part, texts, bias, target) for part, target in zip(parts, targets, strict=True)]
    loss = torch.stack(of_shares).sum()
    torch.testing.assert_close(loss, expected)
    used = leaves if name == "sigmoid" else leaves[:3]
    for got, wanted in zip(torch.autograd.grad(loss, used), torch.autograd.grad(expected, used), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("name", LOSSES)
def test_no_tensor_is_as_large_as_the_matrix(name, monkeypatch):
    monkeypatch.setattr(losses, "TILE", 16)
    images, texts = torch.randn(2, 512, 4).requires_grad_()
    largest = 0

    class Sizes(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **kwargs or {})
            largest = max(largest, result.numel() if isinstance(result, Tensor) else 0)
            return result

    with Sizes():
        loss_of(name, images, texts, Targets(torch.arange(512))).backward()
    assert 512 <= largest <= 512 * 4


def test_contrastive_loss_without_duplicates_is_cross_entropy_on_the_diagonal():
    logits, pairs = torch.randn(6, 6), torch.arange(6)
    expected = (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
    torch.testing.assert_close(loss_of_logits("contrastive", logits, Targets(pairs)), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_a_movie_twice_in_a_batch_is_not_pushed_away_from_itself(name):
    logits = torch.zeros(2, 2, requires_grad=True)
    loss_of_logits(name, logits, Targets(torch.zeros(2))).backward()
    assert (logits.grad <= 0).all()  # a step downhill raises or keeps every similarity


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_large_logits_is_finite(name):
    logits = torch.tensor([[1e4, -1e4], [1e4, -1e4]], requires_grad=True)
    loss = loss_of_logits(name, logits, Targets(torch.arange(2)))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


def test_positives_are_ids_and_not_positions():
    assert positives_by_id(torch.tensor([3, 1]), torch.tensor([1, 3, 3])).tolist() == [
        [False, True, True],
        [True, False, False],
    ]
