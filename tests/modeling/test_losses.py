import math

import pytest
import torch

from modeling.losses import LOSSES, contrastive_loss, positives_by_id, sigmoid_loss, symmetric_loss


def plain_contrastive(logits: torch.Tensor, ids: list[int]) -> float:
    """InfoNCE by its definition, term by term."""
    total, n = 0.0, len(ids)
    for matrix in (logits.tolist(), logits.T.tolist()):
        for i, row in enumerate(matrix):
            right = [j for j in range(n) if ids[j] == ids[i]]
            denominator = math.log(sum(math.exp(value) for value in row))
            total += sum(denominator - row[j] for j in right) / len(right)
    return total / (2 * n)


def plain_sigmoid(logits: torch.Tensor, ids: list[int]) -> float:
    """SigLIP's loss by its definition, pair by pair."""
    n = len(ids)
    signed = [(1 if ids[i] == ids[j] else -1) * logits[i, j].item() for i in range(n) for j in range(n)]
    return sum(math.log1p(math.exp(-value)) for value in signed) / n


@pytest.mark.parametrize(("name", "plain"), [("contrastive", plain_contrastive), ("sigmoid", plain_sigmoid)])
@pytest.mark.parametrize("ids", [[0, 1, 2, 3, 4], [5, 5, 2, 3, 5], [7, 7, 7, 7, 7]])
def test_a_loss_is_its_definition(name, plain, ids):
    logits = torch.randn(5, 5, dtype=torch.float64) * 3
    loss = symmetric_loss(LOSSES[name], logits, torch.tensor(ids))
    assert loss.item() == pytest.approx(plain(logits, ids), rel=1e-12)


def test_contrastive_loss_without_duplicates_is_cross_entropy_on_the_diagonal():
    logits = torch.randn(6, 6)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(6), reduction="none")
    torch.testing.assert_close(contrastive_loss(logits, torch.eye(6, dtype=torch.bool)), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_a_movie_twice_in_a_batch_is_not_pushed_away_from_itself(name):
    logits = torch.zeros(2, 2, requires_grad=True)
    symmetric_loss(LOSSES[name], logits, torch.tensor([9, 9])).backward()
    assert (logits.grad <= 0).all()  # a step downhill raises or keeps every similarity


def test_sigmoid_loss_of_large_logits_is_finite():
    logits = torch.tensor([[1e4, -1e4], [1e4, -1e4]])
    assert sigmoid_loss(logits, torch.eye(2, dtype=torch.bool)).isfinite().all()


def test_positives_are_ids_and_not_positions():
    assert positives_by_id(torch.tensor([3, 1]), torch.tensor([1, 3, 3])).tolist() == [
        [False, True, True],
        [True, False, False],
    ]
