import math

import pytest
import torch

from modeling.posterclip.losses import (
    LOSSES,
    contrastive_loss,
    positives_by_id,
    sigmoid_loss,
    soft_targets,
    symmetric_loss,
)

GENRES = [{"drama"}, {"drama", "crime"}, {"comedy"}, set(), {"crime", "drama", "comedy"}]


def plain_target(ids: list[int], i: int, j: int, weight: float) -> float:
    both, either = GENRES[i] & GENRES[j], GENRES[i] | GENRES[j]
    return 1.0 if ids[i] == ids[j] else weight * len(both) / len(either) if either else 0.0


def plain_contrastive(logits: torch.Tensor, ids: list[int], weight: float = 0.0) -> float:
    """InfoNCE by its definition, term by term."""
    total, n = 0.0, len(ids)
    for matrix in (logits.tolist(), logits.T.tolist()):
        for i, row in enumerate(matrix):
            targets = [plain_target(ids, i, j, weight) for j in range(n)]
            denominator = math.log(sum(math.exp(value) for value in row))
            total += sum(t * (denominator - value) for t, value in zip(targets, row, strict=True)) / sum(targets)
    return total / (2 * n)


def plain_sigmoid(logits: torch.Tensor, ids: list[int], weight: float = 0.0) -> float:
    """SigLIP's loss by its definition, pair by pair; the same from either side."""
    total, n = 0.0, len(ids)
    for i in range(n):
        for j in range(n):
            target, value = plain_target(ids, i, j, weight), logits[i, j].item()
            total += target * math.log1p(math.exp(-value)) + (1 - target) * math.log1p(math.exp(value))
    return total / n


def multi_hot() -> torch.Tensor:
    return torch.tensor([[name in genres for name in ("comedy", "crime", "drama")] for genres in GENRES])


@pytest.mark.parametrize(("name", "plain"), [("contrastive", plain_contrastive), ("sigmoid", plain_sigmoid)])
@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [5, 5, 2, 3, 5], [7, 7, 7, 7, 7]])
def test_a_loss_is_its_definition(name, plain, ids):
    logits, ids_ = torch.randn(5, 5, dtype=torch.float64) * 3, torch.tensor(ids)
    loss = symmetric_loss(LOSSES[name], logits, positives_by_id(ids_, ids_))
    assert loss.item() == pytest.approx(plain(logits, ids), rel=1e-12)


@pytest.mark.parametrize(("name", "plain"), [("contrastive", plain_contrastive), ("sigmoid", plain_sigmoid)])
@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [5, 5, 2, 3, 5]])
@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_a_loss_with_soft_targets_is_its_definition(name, plain, ids, weight):
    logits = torch.randn(5, 5, dtype=torch.float64) * 3
    loss = symmetric_loss(LOSSES[name], logits, soft_targets(torch.tensor(ids), multi_hot(), weight))
    assert loss.item() == pytest.approx(plain(logits, ids, weight), rel=1e-6)
    assert loss.item() != pytest.approx(plain(logits, ids), rel=1e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_soft_targets_of_weight_0_give_the_very_loss_of_hard_ones(name):
    logits, ids = torch.randn(5, 5) * 30, torch.tensor([5, 5, 2, 3, 5])
    soft, hard = soft_targets(ids, multi_hot(), 0.0), positives_by_id(ids, ids)
    assert torch.equal(symmetric_loss(LOSSES[name], logits, soft), symmetric_loss(LOSSES[name], logits, hard))


def test_soft_targets_are_1_for_the_same_movie_and_the_weighted_overlap_of_genres_for_others():
    targets = soft_targets(torch.tensor([0, 1, 2, 3, 0]), multi_hot(), 0.6)
    expected = [
        [1.0, 0.3, 0.0, 0.0, 1.0],
        [0.3, 1.0, 0.0, 0.0, 0.4],
        [0.0, 0.0, 1.0, 0.0, 0.2],
        [0.0, 0.0, 0.0, 1.0, 0.0],
        [1.0, 0.4, 0.2, 0.0, 1.0],
    ]
    torch.testing.assert_close(targets, torch.tensor(expected))


def test_contrastive_loss_without_duplicates_is_cross_entropy_on_the_diagonal():
    logits = torch.randn(6, 6)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(6), reduction="none")
    torch.testing.assert_close(contrastive_loss(logits, torch.eye(6, dtype=torch.bool)), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_a_movie_twice_in_a_batch_is_not_pushed_away_from_itself(name):
    logits = torch.zeros(2, 2, requires_grad=True)
    symmetric_loss(LOSSES[name], logits, torch.ones(2, 2, dtype=torch.bool)).backward()
    assert (logits.grad <= 0).all()  # a step downhill raises or keeps every similarity


def test_sigmoid_loss_of_large_logits_is_finite():
    logits = torch.tensor([[1e4, -1e4], [1e4, -1e4]])
    assert sigmoid_loss(logits, torch.eye(2, dtype=torch.bool)).isfinite().all()


def test_positives_are_ids_and_not_positions():
    assert positives_by_id(torch.tensor([3, 1]), torch.tensor([1, 3, 3])).tolist() == [
        [False, True, True],
        [True, False, False],
    ]
