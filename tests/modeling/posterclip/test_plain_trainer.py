"""The plain `transformers.Trainer` trains a PosterCLIP, evaluates it, keeps the best of its steps and predicts."""

import math

import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import Trainer, TrainingArguments

from modeling import PosterCLIPModel
from tests.tiny import tiny_model, tiny_processor


@pytest.fixture
def trainer(tmp_path) -> Trainer:
    """A trainer of a tiny model on eight movies, with a collator that asks for the loss as the README's does."""
    processor = tiny_processor()
    images = [Image.effect_noise((40, 60), 20 + i).convert("RGB") for i in range(8)]
    plots = ["abcdefgh"[i:] + "xyz" for i in range(8)]
    movies = Dataset.from_dict({"image": images, "plot": plots, "title": ["", *"bcdefgh"]})

    def collate(rows):
        images, plots, titles = ([row[name] for row in rows] for name in ("image", "plot", "title"))
        return {**processor(images=images, text=plots, title=titles, return_tensors="pt"), "return_loss": True}

    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=3,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        learning_rate=1e-2,
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="steps",
        save_steps=1,
        load_best_model_at_end=True,
        remove_unused_columns=False,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    model = tiny_model()
    return Trainer(model, arguments, data_collator=collate, train_dataset=movies, eval_dataset=movies)


def test_the_best_of_the_evaluated_steps_is_loaded_at_the_end(trainer):
    trainer.train()
    losses = {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log}
    assert set(losses) == {1, 2, 3} and all(map(math.isfinite, losses.values()))
    assert trainer.state.best_global_step == min(losses, key=losses.__getitem__)
    best = PosterCLIPModel.from_pretrained(trainer.state.best_model_checkpoint).state_dict()
    assert all(torch.equal(trainer.model.state_dict()[name], value) for name, value in best.items())


def test_the_evaluation_loss_is_the_mean_of_the_batches(trainer):
    batches = [trainer.data_collator([trainer.eval_dataset[i] for i in rows]) for rows in (range(4), range(4, 8))]
    with torch.no_grad():
        expected = sum(trainer.model.eval()(**batch).loss.item() for batch in batches) / 2
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_prediction_is_the_embeddings(trainer):
    found = trainer.predict(trainer.eval_dataset)
    batch = trainer.data_collator([trainer.eval_dataset[i] for i in range(8)])
    with torch.no_grad():
        expected = trainer.model.eval()(**batch)
    for array, name in zip(found.predictions, ("image_embeds", "text_embeds"), strict=True):
        torch.testing.assert_close(torch.from_numpy(array), expected[name], atol=1e-5, rtol=1e-4)
    assert math.isfinite(found.metrics["test_loss"])
