import random

import pytest
import torch
from datasets import Dataset
from PIL import Image
from torch.utils.data import DataLoader

from processing.data.collation import MoviePairs, PairCollator, first_plots, image_batches
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


class TestTitles:
    @pytest.fixture
    def titled(self) -> Dataset:
        """Movies of which the last has no title, and the others one, two or three."""
        others = [[], ["bb"], ["cc", "ccc"], []]
        rows = {"plots": [["p"], ["q", "r"], ["s"], ["t"]], "title": ["a", "b", "c", ""], "other_titles": others}
        return Dataset.from_dict(rows)

    def pairs(self, movies: Dataset, share: float, **options) -> MoviePairs:
        return MoviePairs(movies, image_features=torch.zeros(len(movies), 1), title_share=share, **options)

    def shown(self, pairs: MoviePairs, epoch: int) -> list[str]:
        pairs.epoch = epoch
        return [pairs[i]["title"] for i in range(len(pairs))]

    def test_are_hidden_unless_a_share_is_asked_for(self, titled):
        assert "title" not in self.pairs(titled, 0.0)[0]

    def test_are_shown_by_seed_epoch_and_index_alone(self, titled):
        pairs, again, other = self.pairs(titled, 0.5), self.pairs(titled, 0.5), self.pairs(titled, 0.5, seed=1)
        first = [self.shown(pairs, epoch) for epoch in range(20)]
        random.seed(5)
        assert [self.shown(again, epoch) for epoch in reversed(range(20))] == first[::-1]
        assert [self.shown(other, epoch) for epoch in range(20)] != first

    def test_are_shown_to_their_share_of_the_items(self):
        movies = Dataset.from_dict({"plots": [["p"]] * 500, "title": ["a"] * 500})
        for share in (0.25, 0.8):
            pairs = self.pairs(movies, share)
            assert sum(map(bool, self.shown(pairs, 0))) / 500 == pytest.approx(share, abs=0.07)
            assert self.shown(pairs, 0) != self.shown(pairs, 1)

    def test_get_their_turn_each_and_a_movie_without_one_shows_none(self, titled):
        epochs = [self.shown(self.pairs(titled, 1.0), epoch) for epoch in range(30)]
        assert [set(titles) for titles in zip(*epochs, strict=True)] == [{"a"}, {"b", "bb"}, {"c", "cc", "ccc"}, {""}]

    def test_leave_the_draw_of_plots_alone(self, titled):
        plain, other = self.pairs(titled, 0.0), self.pairs(titled, 0.5)
        assert [drawn(plain, epoch) for epoch in range(9)] == [drawn(other, epoch) for epoch in range(9)]

    def test_are_the_same_where_they_are_features(self, titled):
        titles = ["", "a", "b", "bb", "c", "cc", "ccc"]
        raw = self.pairs(titled, 0.7)
        cached = self.pairs(titled, 0.7, title_features=torch.arange(1, 7).float()[:, None])
        for epoch in range(10):
            raw.epoch = cached.epoch = epoch
            for i in range(len(titled)):
                assert titles[int(cached[i]["title_text_features"])] == raw[i]["title"]

    def test_become_tokens_in_a_batch_and_no_title_a_mask_of_zeros(self, titled):
        pairs = self.pairs(titled, 1.0)
        batch = PairCollator(tiny_processor())([pairs[3], pairs[0]])
        assert batch["title_attention_mask"].tolist() == [[0, 0, 0], [1, 1, 1]]
        assert torch.equal(batch["title_input_ids"][1:], tiny_processor()(text="a", return_tensors="pt")["input_ids"])

    @pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
    def test_are_shown_to_a_share_between_0_and_1(self, share, titled):
        with pytest.raises(ValueError, match="title_share"):
            self.pairs(titled, share)

    def test_of_movies_without_any_are_no_part_of_an_item(self, movies):
        for without in (movies, movies.add_column("title", [""] * 4)):
            assert "title" not in MoviePairs(without, tiny_processor(), title_share=0.5)[0]


@pytest.fixture
def printed() -> Dataset:
    """Movies with a word each on their posters, but the last two with nothing and with what nobody has read."""
    words = [[{"text": "ab" * (1 + i % 5), "score": 0.9, "box": None}] for i in range(198)] + [[], None]
    image = Image.new("RGB", (20, 30))
    return Dataset.from_dict({"image": [image] * 200, "plots": [["a"]] * 200, "poster_text": words})


def shown(pairs: MoviePairs, epoch: int) -> list[str]:
    pairs.epoch = epoch
    return [pairs[i]["poster_text"] for i in range(len(pairs))]


class TestWhatIsPrintedOnPosters:
    def test_is_shown_where_that_is_asked_for(self, printed):
        assert "poster_text" not in MoviePairs(printed, tiny_processor())[0]
        texts = shown(MoviePairs(printed, tiny_processor(), use_poster_text=True), 0)
        assert texts == [*("ab" * (1 + i % 5) for i in range(198)), "", ""]

    def test_is_hidden_by_seed_epoch_and_index_alone(self, printed):
        options = {"use_poster_text": True, "poster_text_dropout": 0.25}
        pairs, again = (MoviePairs(printed, tiny_processor(), **options) for _ in range(2))
        all_of_it = shown(MoviePairs(printed, tiny_processor(), use_poster_text=True), 0)
        first = [shown(pairs, epoch) for epoch in range(4)]
        random.seed(5)
        assert [shown(again, epoch) for epoch in reversed(range(4))] == first[::-1]
        assert len({tuple(texts) for texts in first}) == 4
        assert shown(MoviePairs(printed, tiny_processor(), seed=1, **options), 0) != first[0]
        hidden = [[text == "" for text in texts[:198]] for texts in first]
        assert 0.15 < sum(map(sum, hidden)) / (4 * 198) < 0.35
        for texts in first:
            assert all(text in ("", whole) for text, whole in zip(texts, all_of_it, strict=True))

    @pytest.mark.parametrize(("share", "expected"), [(0.0, 198), (1.0, 0)])
    def test_is_hidden_never_or_always_at_the_ends(self, share, expected, printed):
        pairs = MoviePairs(printed, tiny_processor(), use_poster_text=True, poster_text_dropout=share)
        assert sum(map(bool, shown(pairs, 3))) == expected

    @pytest.mark.parametrize(("share", "read"), [(-0.1, True), (1.1, True), (float("nan"), True), (0.5, False)])
    def test_is_hidden_by_a_share_and_only_where_it_is_shown(self, share, read, printed):
        with pytest.raises(ValueError, match="poster_text_dropout"):
            MoviePairs(printed, tiny_processor(), use_poster_text=read, poster_text_dropout=share)

    def test_is_hidden_in_the_same_items_where_it_is_features(self, printed):
        options = {"use_poster_text": True, "poster_text_dropout": 0.5}
        raw = MoviePairs(printed, tiny_processor(), **options)
        features = torch.tensor([[float(bool(text)), 2.0 * bool(text)] for text in raw.poster_text])
        cached = MoviePairs(printed, tiny_processor(), poster_text_features=features, **options)
        texts = shown(raw, 2)
        cached.epoch = 2
        for i in range(len(printed)):
            assert "poster_text" not in cached[i]
            assert cached[i]["poster_text_features"].tolist() == [float(bool(texts[i])), 2.0 * bool(texts[i])]

    def test_leaves_the_draw_of_plots_alone(self, movies):
        movies = movies.add_column("poster_text", [[{"text": "ab", "score": 1.0, "box": None}]] * 4)
        options = {"use_poster_text": True, "poster_text_dropout": 0.5}
        plain, other = (MoviePairs(movies, tiny_processor(), **given) for given in ({}, options))
        assert [drawn(plain, epoch) for epoch in range(9)] == [drawn(other, epoch) for epoch in range(9)]

    def test_becomes_tokens_in_a_batch(self, printed):
        pairs = MoviePairs(printed, tiny_processor(), use_poster_text=True)
        batch = PairCollator(tiny_processor())([pairs[i] for i in (2, 198, 199)])
        assert batch["poster_attention_mask"].tolist() == [[1] * 8, [0] * 8, [0] * 8]
        expected = tiny_processor()(text="ababab", return_tensors="pt")["input_ids"]
        assert torch.equal(batch["poster_input_ids"][:1], expected) and batch["input_ids"].shape == (3, 3)

    def test_is_stacked_in_a_batch_where_it_is_features(self, printed):
        features = torch.randn(200, 6)
        pairs = MoviePairs(printed, tiny_processor(), use_poster_text=True, poster_text_features=features)
        batch = PairCollator(tiny_processor())([pairs[3], pairs[1]])
        assert torch.equal(batch["poster_text_features"], features[[3, 1]]) and "poster_input_ids" not in batch

    def test_is_not_read_by_a_collator_whose_processor_could(self, movies, monkeypatch):
        monkeypatch.setattr(
            "processing.posterclip.processing_posterclip.recognize_text", lambda *_: pytest.fail("read")
        )
        processor = tiny_processor()
        processor.run_ocr = True
        pairs = MoviePairs(movies, processor)
        assert not [name for name in PairCollator(processor)([pairs[0], pairs[1]]) if name.startswith("poster")]
