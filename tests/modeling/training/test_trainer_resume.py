"""A run that is broken off and resumed is the run that was not; the best model is the one that is left."""

import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from modeling import PosterCLIPModel
from modeling.training.argument_checks import resume_point
from modeling.training.lora import merged_state_dict
from modeling.training.samplers import LengthGroupedSampler
from modeling.training.trainer import PosterCLIPTrainer
from processing.data.collation import MoviePairs
from tests.modeling.runs import EPOCHS, READS, STEPS_PER_EPOCH, KillAt, resumable_run, tiny_movies, tiny_trainer
from tests.processes import exit_code
from tests.tiny import TEXT, VISION, tiny_model, tiny_processor

# Every encoder of the matrix once on its side.
PAIRS = [(vision, list(TEXT)[i % len(TEXT)], "full,full") for i, vision in enumerate(VISION)]
# What trains beside adapters is of every kind: nothing, a few layers, all with its batch statistics.
LORA = [
    ("vit", "bert", "lora,lora"),
    ("swin", "modernbert", "lora,frozen"),
    ("efficientnet", "mpnet", "lora,last-1"),
    ("resnet", "distilbert", "full,lora"),
]
WORKERS = pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / f"checkpoint-{EPOCHS * STEPS_PER_EPOCH}" / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vision", "text", "modes", "switches"),
    [
        *((*case, {}) for case in PAIRS + LORA),
        ("vit", "bert", "full,full", {"extras": True}),
        ("vit", "bert", "lora,lora", {"extras": True}),
        ("vit", "distilbert", "full,full", {"reads": True}),
        ("vit", "bert", "frozen,lora", {"extras": True, "reads": True}),
    ],
)
def test_a_run_killed_within_an_epoch_ends_with_the_same_weights(vision, text, modes, switches, tmp_path):
    killed_at = STEPS_PER_EPOCH + 3  # the last checkpoint is one step older and lies within the second epoch
    killed = vision, text, modes, tmp_path / "killed"
    assert exit_code(resumable_run, *killed, KillAt(killed_at), **switches) == -signal.SIGKILL
    assert not (tmp_path / "killed" / f"checkpoint-{EPOCHS * STEPS_PER_EPOCH}").exists()

    whole = resumable_run(vision, text, modes, tmp_path / "whole", **switches)
    resumed = resumable_run(*killed, **switches)

    expected, got = final_weights(tmp_path / "whole"), final_weights(tmp_path / "killed")
    plain = tiny_model(vision, text, **READS if "reads" in switches else {})
    assert expected.keys() == got.keys() == plain.state_dict().keys()
    for name, weight in expected.items():
        assert torch.equal(weight, got[name]), name
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("vision", "text", "modes"),
    [PAIRS[0], LORA[0], *(pytest.param(*case, marks=pytest.mark.slow) for case in PAIRS[1:] + LORA[1:])],
)
def test_the_best_model_is_loaded_whole_at_the_end(vision, text, modes, tmp_path):
    trainer = resumable_run(vision, text, modes, tmp_path, best_at=4)
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-4") and trainer.state.global_step > 4
    best = PosterCLIPModel.from_pretrained(trainer.state.best_model_checkpoint).state_dict()
    last = final_weights(tmp_path)
    for name, weight in merged_state_dict(trainer.model).items():
        assert torch.equal(weight, best[name]), name
    assert not all(torch.equal(best[name], last[name]) for name in last)


def remove_weight(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, checkpoint / "model.safetensors", metadata={"format": "pt"})


def truncate(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


class DamageSaved(TrainerCallback):
    """Damages each checkpoint as soon as it is saved."""

    def __init__(self, damage) -> None:
        self.damage = damage

    def on_save(self, args, state, control, **kwargs):
        self.damage(Path(args.output_dir) / f"checkpoint-{state.global_step}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_weight, r"checkpoint-1 do not fit .* 1 missing \(text_projection\.weight\)"),
        (truncate, "checkpoint-1 are a damaged file"),
        (lambda checkpoint: (checkpoint / "model.safetensors").unlink(), "no file named model.safetensors"),
    ],
)
def test_a_checkpoint_without_all_weights_is_an_error_that_names_them(damage, message, tmp_path):
    def trainer(**arguments) -> PosterCLIPTrainer:
        pairs = MoviePairs(tiny_movies(), tiny_processor())
        options = {"eval_dataset": pairs, "callbacks": [DamageSaved(damage)]}
        steps = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1}
        return tiny_trainer(tiny_model(), tmp_path, pairs, options, **steps, **arguments)

    with pytest.raises((OSError, ValueError), match=message):
        trainer(load_best_model_at_end=True).train()
    with pytest.raises((OSError, ValueError), match=message):
        trainer().train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def recorded(trainer: PosterCLIPTrainer) -> list[dict[str, torch.Tensor]]:
    """The batches that the trainer will have trained on."""
    seen: list[dict[str, torch.Tensor]] = []
    step = trainer.training_step
    trainer.training_step = lambda model, inputs, *rest: (seen.append(dict(inputs)), step(model, inputs, *rest))[1]
    return seen


@WORKERS
def test_plots_are_drawn_anew_each_epoch_and_again_when_resumed(workers, tmp_path):
    def drawn(resume: str | None = None) -> list[list[int]]:
        trainer = tiny_trainer(
            tiny_model(),
            tmp_path,
            MoviePairs(tiny_movies(8), tiny_processor(), seed=5),
            num_train_epochs=3,
            per_device_train_batch_size=8,
            dataloader_num_workers=workers,
            save_strategy="epoch",
            seed=5,
        )
        batches = recorded(trainer)
        trainer.train(resume_from_checkpoint=resume)
        return [sorted(batch["attention_mask"].sum(1).tolist()) for batch in batches]

    pairs = MoviePairs(tiny_movies(8), tiny_processor(), seed=5)
    expected = [sorted(len(pairs[i]["text"]) + 2 for i in range(8)) for pairs.epoch in range(3)]
    assert len(set(map(tuple, expected))) == 3
    assert drawn() == expected
    assert drawn(str(tmp_path / "checkpoint-1")) == expected[1:]


@WORKERS
def test_batches_grouped_by_length_are_those_of_their_epoch_also_when_resumed_within_it(workers, tmp_path):
    pairs = MoviePairs(tiny_movies(20), tiny_processor())

    def batches(resume: str | None = None) -> list[list[int]]:
        trainer = tiny_trainer(
            tiny_model(),
            tmp_path,
            MoviePairs(tiny_movies(20), tiny_processor()),
            num_train_epochs=2,
            per_device_train_batch_size=2,
            dataloader_num_workers=workers,
            train_sampling_strategy="group_by_length",
            save_strategy="steps",
            save_steps=13,
        )
        seen = recorded(trainer)
        trainer.evaluate(trainer.train_dataset)  # which has an order of its own
        trainer.train(resume_from_checkpoint=resume)
        return [batch["positive_ids"].tolist() for batch in seen]

    whole = batches()
    epochs = [[movie for batch in half for movie in batch] for half in (whole[:10], whole[10:])]
    orders = [list(LengthGroupedSampler(pairs, 2, seed=42)) for pairs.epoch in range(2)]
    assert epochs == orders and orders[0] != orders[1]
    assert batches(str(tmp_path / "checkpoint-13")) == whole[13:]


def test_resuming_passes_over_a_checkpoint_that_was_cut_off(tmp_path):
    for step, whole in ((2, True), (10, True), (12, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / ("trainer_state.json" if whole else "model.safetensors")).touch()
    assert resume_point("True", str(tmp_path)) == str(tmp_path / "checkpoint-10")
    assert resume_point("True", str(tmp_path / "nothing")) is None
    assert resume_point(None, str(tmp_path)) is None
