import pytest

from modeling.training.freezing import DEFAULT_LORA_RANK
from scripts.common.run_settings import ModelArguments, RunArguments


@pytest.mark.parametrize(
    ("metric", "movies", "kept"),
    [("R@10", 6, False), ("R@10", 19, False), ("R@10", 40, True), ("R@1", 6, True), ("MRR", 4, True)],
)
def test_a_metric_that_a_small_pool_reaches_by_chance_chooses_no_epoch(metric, movies, kept, tmp_path):
    best = {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"}
    run = RunArguments(str(tmp_path), metric_for_best_model=metric, use_cpu=True, **best)
    line = run.use_loss_if_pool_is_small(movies)
    assert (line is None) == kept
    assert (run.metric_for_best_model, run.greater_is_better) == ((metric, True) if kept else ("loss", False))


def test_less_of_a_rank_is_better(tmp_path):
    assert RunArguments(str(tmp_path), metric_for_best_model="mean_rank").greater_is_better is False
    with pytest.raises(ValueError, match="less mean_rank is better"):
        RunArguments(str(tmp_path), metric_for_best_model="mean_rank", greater_is_better=True)


def test_help_names_the_rank_that_is_the_default():
    text = ModelArguments.__dataclass_fields__["lora_rank"].metadata["help"]
    assert f"{DEFAULT_LORA_RANK} by default" in text
