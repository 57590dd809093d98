import pickle

import pytest
import torch
from datasets import Dataset
from PIL import Image

from processing.collation import MoviePairs, PairCollator, PosterBatches, first_plots, text_batches
from tests.tiny import tiny_processor


@pytest.fixture
def movies() -> Dataset:
    posters = [Image.new("RGB", (20, 30), (i * 40, 0, 0)) for i in range(4)]
    return Dataset.from_dict({"image": posters, "plots": [["a"], ["b", "bb", "bbb"], ["c", "cc"], ["d"]]})


def drawn(pairs: MoviePairs, epoch: int) -> list[str]:
    pairs.epoch = epoch
    return [pairs[i]["text"] for i in range(len(pairs))]


def test_a_draw_is_a_function_of_seed_epoch_and_index(movies):
    pairs, again, other = (
        MoviePairs(movies, tiny_processor()),
        MoviePairs(movies, tiny_processor()),
        MoviePairs(movies, tiny_processor(), seed=1),
    )
    first = [drawn(pairs, epoch) for epoch in range(20)]
    assert [drawn(again, epoch) for epoch in reversed(range(20))] == first[::-1]
    assert [drawn(other, epoch) for epoch in range(20)] != first


def test_every_plot_of_a_movie_gets_its_turn(movies):
    texts = {text for epoch in range(40) for text in drawn(MoviePairs(movies, tiny_processor()), epoch)}
    assert texts == {"a", "b", "bb", "bbb", "c", "cc", "d"}


def test_features_take_the_place_of_the_plot_that_would_have_been_drawn(movies):
    plots = [plot for plots in movies["plots"] for plot in plots]
    features = torch.arange(len(plots)).float()[:, None]
    raw, cached = (MoviePairs(movies, tiny_processor(), text_features=given) for given in (None, features))
    for epoch in range(10):
        raw.epoch = cached.epoch = epoch
        for i in range(len(movies)):
            assert plots[int(cached[i]["text_features"])] == raw[i]["text"]


def test_a_batch_holds_model_inputs_and_labels(movies):
    pairs = MoviePairs(movies, tiny_processor())
    batch = PairCollator(tiny_processor())([pairs[3], pairs[0]])
    assert batch["labels"].tolist() == [3, 0]
    assert batch["ids"] == ["3", "0"]
    assert batch["pixels"].shape == (2, 3, 32, 32)
    assert batch["input_ids"].shape == batch["attention_mask"].shape


def test_a_batch_of_features_needs_no_posters(movies):
    pairs = MoviePairs(
        movies.remove_columns("image"), image_features=torch.randn(4, 5), text_features=torch.randn(7, 6)
    )
    batch = PairCollator(tiny_processor())([pairs[1], pairs[2]])
    assert {name: tuple(value.shape) for name, value in batch.items() if name != "ids"} == {
        "image_features": (2, 5),
        "text_features": (2, 6),
        "labels": (2,),
    }


def test_batches_keep_the_order_of_movies_and_plots(movies):
    processor = tiny_processor()
    pixels = torch.cat([batch["pixel_values"] for batch in PosterBatches(movies, processor, batch_size=3)])
    assert pixels[:, 0, 0, 0].diff().gt(0).all()  # redder and redder
    plots = [plot for plots in movies["plots"] for plot in plots]
    lengths = [
        row.sum().item() - 2
        for batch in text_batches(plots, processor, batch_size=2)
        for row in batch["attention_mask"]
    ]
    assert lengths == [1, 1, 2, 3, 1, 2, 1]


def test_evaluation_takes_the_first_plot(movies):
    assert first_plots(movies) == [["a"], ["b"], ["c"], ["d"]]


def test_movies_that_share_a_plot_share_a_label():
    shared = Dataset.from_dict({"plots": [["a"], ["b", "c"], ["c"], ["a", "d"], ["e"]]})
    pairs = MoviePairs(shared, image_features=torch.zeros(5, 1))
    assert [pairs[i]["label"] for i in range(5)] == [0, 1, 1, 0, 4]


def test_batches_can_be_made_by_spawned_workers(movies):
    posters, plots = PosterBatches(movies, tiny_processor()), text_batches(["a", "b c"], tiny_processor())
    again = pickle.loads(pickle.dumps(posters.collate_fn))
    assert torch.equal(posters.collate_fn([movies[0], movies[1]]), again([movies[0], movies[1]]))
    again = pickle.loads(pickle.dumps(plots.collate_fn))
    for name, value in plots.collate_fn(["a", "b c"]).items():
        assert torch.equal(value, again(["a", "b c"])[name])
