import math

import pytest
import torch
from datasets import Dataset, concatenate_datasets
from safetensors.torch import load_file

from modeling.posterclip.losses import Targets
from modeling.training.lora import merged_state_dict
from processing.data.collation import MoviePairs, first_plots
from tests.modeling.runs import READS, joint_run, tiny_movies, tiny_trainer
from tests.processes import train_in_two
from tests.tiny import tiny_batch, tiny_model, tiny_model_in_modes, tiny_processor


def test_the_loss_that_is_trained_is_the_models_own(tmp_path):
    model = tiny_model().eval()
    batch = {**tiny_batch(), "positive_ids": torch.tensor([3, 1, 3, 2])}
    assert torch.equal(tiny_trainer(model, tmp_path).compute_loss(model, dict(batch)), model(**batch).loss)


@pytest.mark.parametrize("loss", ["contrastive", "sigmoid"])
def test_the_evaluation_loss_is_that_of_the_whole_pool_whatever_the_batch(loss, tmp_path):
    model = tiny_model(loss=loss).eval()
    pairs = MoviePairs(tiny_movies(9), tiny_processor())
    texts, images = [pairs[i]["text"] for i in range(9)], pairs.movies["image"][:]
    expected = model(**tiny_processor()(images=images, text=texts, return_tensors="pt"), return_loss=True).loss.item()
    for size in (2, 4, 9):
        trainer = tiny_trainer(model, tmp_path, per_device_eval_batch_size=size)
        assert trainer.evaluate(pairs)["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_evaluation_reads_posters_as_the_model_does_whatever_the_batch(tmp_path):
    model, movies = tiny_model(**READS).eval(), tiny_movies(9)
    given = {"images": movies["image"][:], "text": [plots[0] for plots in movies["plots"]]}
    batch = tiny_processor()(**given, poster_text=movies["poster_text"][:], return_tensors="pt")
    expected = model(**batch, return_loss=True).loss.item()
    pairs = MoviePairs(movies, tiny_processor(), plots=first_plots(movies), use_poster_text=True)
    for size in (1, 4, 9):
        trainer = tiny_trainer(model, tmp_path, per_device_eval_batch_size=size)
        assert trainer.evaluate(pairs)["eval_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("start", "rate"), [(0.0, 1.0), (4.6, 1.0)])
def test_the_temperature_stays_between_1_and_100(start, rate, tmp_path):
    model = tiny_model(logit_scale_init_value=start)
    tiny_trainer(model, tmp_path, learning_rate=rate, max_steps=3).train()
    assert 0 <= model.logit_scale.item() <= math.log(100) + 1e-6


def test_a_loss_that_is_not_a_number_stops_the_run_with_its_step_and_rows(tmp_path):
    processor, movies = tiny_processor(), tiny_movies()
    model, pairs = tiny_model(), MoviePairs(movies, processor, plots=[["a"], ["c"], *[["b"]] * (len(movies) - 2)])
    with torch.no_grad():
        model.get_input_embeddings().weight[processor.tokenizer.convert_tokens_to_ids("c")] = torch.nan
    trainer = tiny_trainer(model, tmp_path, pairs, per_device_train_batch_size=len(movies))
    with pytest.raises(FloatingPointError, match=r"The loss of step 1 is nan\. Rows .* not finite: 1$"):
        trainer.train()


def test_a_loss_that_is_not_a_number_is_never_saved(tmp_path):
    processor, movies = tiny_processor(), tiny_movies(8)
    model, pairs = tiny_model(), MoviePairs(movies, processor, plots=[["c"] if row == 5 else ["b"] for row in range(8)])
    with torch.no_grad():
        model.get_input_embeddings().weight[processor.tokenizer.convert_tokens_to_ids("c")] = torch.nan
    steps = {"train_sampling_strategy": "sequential", "per_device_train_batch_size": 2, "logging_strategy": "no"}
    trainer = tiny_trainer(model, tmp_path, pairs, save_strategy="steps", save_steps=2, **steps)
    with pytest.raises(FloatingPointError, match=r"The loss of step 3 is nan\. Rows .* not finite: 5$"):
        trainer.train()
    assert [folder.name for folder in tmp_path.iterdir()] == ["checkpoint-2"]


def test_a_model_is_in_training_mode_in_each_step_and_not_in_evaluations(tmp_path):
    model, pairs, modes = tiny_model(), MoviePairs(tiny_movies(2), tiny_processor()), []
    model.vision_model.register_forward_hook(lambda module, *_: modes.append(module.training))
    evaluated = {"eval_strategy": "steps", "eval_steps": 1}
    tiny_trainer(model, tmp_path, pairs, {"eval_dataset": pairs}, max_steps=2, **evaluated).train()
    assert modes == [True, False, True, False]


def test_a_trainer_trains_again(tmp_path):
    model = tiny_model(logit_scale_init_value=4.6)
    trainer = tiny_trainer(model, tmp_path, learning_rate=1.0, max_steps=1)
    for _ in range(2):
        trainer.train()
    assert model.logit_scale.item() <= math.log(100) + 1e-6


def test_accumulated_steps_are_averaged(tmp_path):
    """Two batches of the same two movies, in one step, are one batch of them."""

    def weights(movies: Dataset, **arguments) -> torch.Tensor:
        model = tiny_model("vit", "modernbert")
        settings = {"max_steps": 1, "optim": "sgd", "learning_rate": 0.1, "per_device_train_batch_size": 2}
        pairs = MoviePairs(movies, tiny_processor(), plots=first_plots(movies))
        trainer = tiny_trainer(model, tmp_path, pairs, train_sampling_strategy="sequential", **settings, **arguments)
        trainer.train()
        assert trainer.state.epoch == 1  # it trained on every batch
        return model.visual_projection.weight.detach()

    two = tiny_movies(2)
    once, twice = weights(two), weights(concatenate_datasets([two, two]), gradient_accumulation_steps=2)
    torch.testing.assert_close(once, twice)
    assert not torch.equal(once, tiny_model("vit", "modernbert").visual_projection.weight)


CHUNKED = {"max_steps": 2, "optim": "sgd", "learning_rate": 0.01, "per_device_train_batch_size": 4}


@pytest.mark.parametrize(("accumulation", "genre_weight"), [(1, 0.0), (2, 0.5)])
def test_chunks_give_the_weights_of_the_whole_batch(accumulation, genre_weight, tmp_path):
    pairs = MoviePairs(tiny_movies(), tiny_processor(), genres=True)

    def weights(chunk_size: int | None) -> dict[str, torch.Tensor]:
        model = tiny_model("vit", "modernbert")
        options = {"chunk_size": chunk_size, "genre_weight": genre_weight}
        tiny_trainer(model, tmp_path, pairs, options, gradient_accumulation_steps=accumulation, **CHUNKED).train()
        return model.state_dict()

    whole = weights(None)
    for name, weight in weights(3).items():
        torch.testing.assert_close(weight, whole[name], atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("modes", ["full,full", "full,last-1", "lora,lora", "full,frozen"])
def test_chunks_give_the_weights_of_the_whole_batch_where_posters_are_read(modes, tmp_path):
    pairs = MoviePairs(tiny_movies(), tiny_processor(), use_poster_text=True)

    def weights(chunk_size: int | None) -> dict[str, torch.Tensor]:
        model = tiny_model_in_modes("vit", "modernbert", modes, **READS)
        tiny_trainer(model, tmp_path, pairs, {"chunk_size": chunk_size}, **CHUNKED).train()
        return model.state_dict()

    whole = weights(None)
    for name, weight in weights(1).items():  # one chunk of size 1 is a poster without text
        torch.testing.assert_close(weight, whole[name], atol=1e-6, rtol=1e-4, msg=name)
    assert whole["image_weight"] != tiny_model(**READS).image_weight


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("contrastive", {}),
        ("contrastive", {"chunk_size": 3}),
        ("sigmoid", {}),
        ("sigmoid", {"chunk_size": 3}),
        ("contrastive", {"genre_weight": 0.5, "chunk_size": 3}),
        ("sigmoid", {"genre_weight": 0.5}),
        ("contrastive", {"order": "group_by_length"}),
        ("contrastive", {"modes": "lora,lora"}),
        ("contrastive", {"reads": True}),
        ("contrastive", {"reads": True, "chunk_size": 3}),
        ("sigmoid", {"reads": True, "modes": "frozen,last-1"}),
    ],
    ids=lambda value: (
        "-".join(f"{name}={of}" for name, of in value.items()) or "plain" if type(value) is dict else value
    ),
)
def test_two_processes_end_with_the_weights_of_one_on_the_joint_batch(loss, options, tmp_path):
    train_in_two(joint_run, tmp_path / "two", loss, **options)
    reads = READS if options.get("reads") else {}
    start = tiny_model("vit", "modernbert", loss=loss, **reads).state_dict()
    whole = {name: value for name, value in options.items() if name != "chunk_size"}
    one = merged_state_dict(joint_run(tmp_path / "one", loss, **whole).model)
    two = load_file(tmp_path / "two" / "model.safetensors")
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=1e-5, rtol=1e-4, msg=name)
    moved = [name for name, weight in one.items() if (weight - start[name]).abs().max() > 1e-4]
    assert len(moved) > 5


@pytest.mark.parametrize("loss", ["contrastive", "sigmoid"])
def test_movies_of_overlapping_genres_are_related_in_training_and_not_in_evaluation(loss, tmp_path):
    model = tiny_model(loss=loss).eval()
    genres = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    batch = {**tiny_batch(), "positive_ids": torch.tensor([3, 1, 3, 2]), "genres": genres}
    embeds = model(**tiny_batch())
    trainer = tiny_trainer(model, tmp_path, options={"genre_weight": 0.5})
    targets = Targets(batch["positive_ids"], genres, 0.5)
    expected = model.pair_loss(embeds.image_embeds, embeds.text_embeds, targets)
    torch.testing.assert_close(trainer.compute_loss(model, dict(batch)), expected)

    evaluated = trainer.evaluate(MoviePairs(tiny_movies(), tiny_processor(), genres=True))["eval_loss"]
    without = tiny_trainer(model, tmp_path).evaluate(MoviePairs(tiny_movies(), tiny_processor()))["eval_loss"]
    assert evaluated == without


def test_a_genre_weight_without_genres_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="genre_weight"):
        tiny_trainer(tiny_model(), tmp_path, options={"genre_weight": 0.5}).train()


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_genre_weight_lies_between_0_and_1(weight, tmp_path):
    with pytest.raises(ValueError, match="genre_weight"):
        tiny_trainer(tiny_model(), tmp_path, options={"genre_weight": weight})


def test_learning_rates_fall_from_layer_to_layer_and_only_matrices_decay(tmp_path):
    model = tiny_model("vit", "bert")
    trainer = tiny_trainer(model, tmp_path, options={"layer_decay": 0.5}, learning_rate=1.0, weight_decay=0.1)
    groups = trainer.create_optimizer().param_groups
    settings = {parameter: (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    assert settings.keys() == set(model.parameters())
    named = {name: settings[parameter] for name, parameter in model.named_parameters()}
    assert named["visual_projection.weight"] == (1.0, 0.1)
    assert named["logit_scale"] == (1.0, 0.0)
    assert named["vision_model.layernorm.weight"] == (0.5, 0.0)
    assert named["vision_model.embeddings.cls_token"] == (0.125, 0.0)
    assert named["vision_model.embeddings.position_embeddings"] == (0.125, 0.0)
    assert named["text_model.embeddings.position_embeddings.weight"] == (0.125, 0.0)
    assert named["text_model.embeddings.word_embeddings.weight"] == (0.125, 0.1)
    assert named["text_model.encoder.layer.0.output.dense.weight"] == (0.25, 0.1)
    assert named["text_model.encoder.layer.1.output.dense.bias"] == (0.5, 0.0)


def test_adapters_have_the_learning_rate_of_their_block_and_decay_to_the_base(tmp_path):
    model = tiny_model_in_modes("vit", "bert", "lora,lora")
    trainer = tiny_trainer(model, tmp_path, options={"layer_decay": 0.5}, learning_rate=1.0, weight_decay=0.1)
    groups = trainer.create_optimizer().param_groups
    settings = {parameter: (group["lr"], group["weight_decay"]) for group in groups for parameter in group["params"]}
    named = {name: settings[weight] for name, weight in model.named_parameters() if weight in settings}
    assert len(named) == len(settings)
    for encoder, block in (("vision_model", "layers"), ("text_model", "encoder.layer")):
        for index, rate in ((0, 0.25), (1, 0.5)):
            prefix = f"{encoder}.{block}.{index}."
            found = {name: named.pop(name) for name in list(named) if name.startswith(prefix)}
            assert len(found) == 12 and all(".lora_" in name for name in found)
            assert set(found.values()) == {(rate, 0.1)}
    assert named == {
        "visual_projection.weight": (1.0, 0.1),
        "text_projection.weight": (1.0, 0.1),
        "logit_scale": (1.0, 0.0),
    }


def test_a_frozen_encoder_is_left_as_it_was_without_dropout(tmp_path):
    model = tiny_model()
    model.text_model.requires_grad_(False)
    before = {name: weight.clone() for name, weight in model.text_model.state_dict().items()}
    tiny_trainer(model, tmp_path, max_steps=2).train()
    assert model.training and not model.text_model.training and model.vision_model.training
    for name, weight in model.text_model.state_dict().items():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"dataloader_persistent_workers": True, "dataloader_num_workers": 1}, "dataloader_persistent_workers"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
        ({"train_sampling_strategy": "batch_rebalance"}, "train_sampling_strategy"),
        ({"batch_eval_metrics": True}, "batch_eval_metrics"),
        ({"eval_do_concat_batches": False}, "eval_do_concat_batches"),
        ({"per_device_train_batch_size": 1}, "per_device_train_batch_size"),
    ],
)
def test_an_option_that_would_not_keep_its_meaning_is_refused_by_name(arguments, name, tmp_path):
    with pytest.raises(ValueError, match=name):
        tiny_trainer(tiny_model(), tmp_path, **arguments)


def test_grouping_by_length_needs_lengths(tmp_path):
    pairs = MoviePairs(tiny_movies(), tiny_processor(), text_features=torch.zeros(24, 16))
    trainer = tiny_trainer(tiny_model(), tmp_path, pairs, train_sampling_strategy="group_by_length")
    with pytest.raises(ValueError, match="group_by_length"):
        trainer.train()
