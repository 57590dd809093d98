import random

import pytest
import torch
from datasets import Dataset
from PIL import Image
from torch.utils.data import DataLoader

from processing.data.collation import MoviePairs, PairCollator, first_plots, image_batches
from tests.tiny import tiny_processor


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


def augmented(movies: Dataset, epoch: int, workers: int = 0, **options) -> list[bytes]:
    pairs = MoviePairs(movies, tiny_processor(), augment=True, **options)
    pairs.epoch = epoch
    items = DataLoader(pairs, batch_size=None, num_workers=workers, collate_fn=lambda pair: pair)
    return [pair["pixels"].numpy().tobytes() for pair in items]


def test_an_augmented_poster_is_a_function_of_seed_epoch_and_index():
    poster = Image.effect_noise((20, 30), 90)
    movies = Dataset.from_dict({"image": [poster, poster, poster.rotate(180)], "plots": [["a"], ["b"], ["c"]]})
    first = [augmented(movies, epoch) for epoch in range(3)]
    assert len({poster for epoch in first for poster in epoch}) == 9
    random.seed(5)
    assert [augmented(movies, epoch) for epoch in reversed(range(3))] == first[::-1]
    assert not set(augmented(movies, 0, seed=1)) & set(first[0])


def test_workers_augment_as_the_process_itself_does(movies):
    assert augmented(movies, 3, workers=2) == augmented(movies, 3)


def test_augmentation_leaves_the_draw_of_plots_alone(movies):
    plain, other = (MoviePairs(movies, tiny_processor(), augment=augment) for augment in (False, True))
    assert [drawn(plain, epoch) for epoch in range(9)] == [drawn(other, epoch) for epoch in range(9)]


def test_posters_that_are_features_cannot_be_augmented(movies):
    features = torch.zeros(4, 5)
    with pytest.raises(ValueError, match="augment"):
        MoviePairs(movies, image_features=features, augment=True)
    pairs = MoviePairs(movies, tiny_processor(), augment=True)
    with pytest.raises(ValueError, match="augment"):
        pairs.image_features = features


def test_lengths_are_the_tokens_of_the_plots_that_are_drawn(movies):
    movies = movies.remove_columns("plots").add_column("plots", [["a"], ["b", "bb", "bbb"], ["c" * 9], ["d" * 99]])
    processor = tiny_processor(max_length=8)
    pairs = MoviePairs(movies, processor)
    for pairs.epoch in range(10):
        batch = PairCollator(processor)([pairs[i] for i in range(4)])
        assert pairs.lengths == batch["attention_mask"].sum(1).tolist()


def test_there_are_no_lengths_where_nothing_is_padded_or_counted(movies):
    assert MoviePairs(movies, image_features=torch.zeros(4, 2)).lengths is None
    assert MoviePairs(movies, tiny_processor(), text_features=torch.zeros(7, 2)).lengths is None


def test_a_batch_holds_model_inputs_and_positive_ids(movies):
    pairs = MoviePairs(movies, tiny_processor())
    batch = PairCollator(tiny_processor())([pairs[3], pairs[0]])
    assert batch["positive_ids"].tolist() == [3, 0]
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
        "positive_ids": (2,),
    }


def test_image_batches_keep_the_order_of_movies_and_hold_what_the_processor_gives(movies):
    processor = tiny_processor()
    batches = list(image_batches(movies, processor, batch_size=3))
    assert [len(batch["pixel_values"]) for batch in batches] == [3, 1]
    expected = processor(images=movies["image"][:], return_tensors="pt")["pixel_values"]
    assert torch.equal(torch.cat([batch["pixel_values"] for batch in batches]), expected)


def test_evaluation_takes_the_first_plot(movies):
    assert first_plots(movies) == [["a"], ["b"], ["c"], ["d"]]


def test_a_batch_holds_the_genres_that_were_asked_for_by_the_vocabulary_of_the_split(movies):
    pairs = MoviePairs(
        movies.add_column("genres", [["War"], [], None, ["Crime", "War"]]), tiny_processor(), genres=True
    )
    batch = PairCollator(tiny_processor())([pairs[3], pairs[0], pairs[1], pairs[2]])
    assert batch["genres"].tolist() == [[1, 1], [0, 1], [0, 0], [0, 0]]  # Crime, War


def test_genres_that_were_asked_for_and_that_no_movie_has_are_an_error(movies):
    for without in (movies, movies.add_column("genres", [[], [], None, []])):
        with pytest.raises(ValueError, match="genres"):
            MoviePairs(without, genres=True)


def test_movies_that_share_a_plot_share_a_positive_id():
    shared = Dataset.from_dict({"plots": [["a"], ["b", "c"], ["c"], ["a", "d"], ["e"]]})
    pairs = MoviePairs(shared, image_features=torch.zeros(5, 1))
    assert [pairs[i]["positive_id"] for i in range(5)] == [0, 1, 1, 0, 4]


def test_names_are_masked_in_what_is_drawn_and_in_what_features_are_made_of():
    rows = {"plots": [["A duel with Ned.", "Zorro rides."], ["A duel with Bob."]], "title": ["Zorro", "Bob"]}
    pairs = MoviePairs(Dataset.from_dict(rows), image_features=torch.zeros(2, 1), mask_names=True)
    assert pairs.plots == [["A duel with ....", "... rides."], ["A duel with ...."]]
    assert {pairs[0]["text"] for pairs.epoch in range(9)} == set(pairs.plots[0])
    assert pairs[0]["positive_id"] == pairs[1]["positive_id"]  # nothing tells these two apart any more


def test_names_cannot_be_masked_where_titles_or_texts_are_not_there(movies):
    with pytest.raises(ValueError, match="no column title"):
        MoviePairs(movies, mask_names=True)
    with pytest.raises(ValueError, match="text_features"):
        MoviePairs(movies, text_features=torch.zeros(7, 2), mask_names=True)
