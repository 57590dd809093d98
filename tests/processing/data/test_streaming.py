import contextlib
import itertools
import json
import logging
import subprocess
import sys
import zipfile
from itertools import islice
from pathlib import Path

import pytest
import torch
from datasets import IterableDataset
from torch.utils.data import DataLoader

from modeling.posterclip.losses import Targets, contrastive_loss, positives_by_id
from processing.catalogue.catalogue import CatalogueError, load_catalogue
from processing.data.pixels import PosterPixels
from processing.data.streaming import MovieStream, open_stream
from processing.posterclip.rgb import open_image
from tests.processing.data.streams import COLUMNS, in_shards, movie, noise, write_shards
from tests.tiny import tiny_processor

ROOT = Path(__file__).parents[3]


def stream(source, **options):
    return MovieStream(
        open_stream(source, options.get("splits", ["train"])), tiny_processor(), **{"buffer_size": 4, **options}
    )


def taken(items, count):
    """The movies of the next items, by their numbers."""
    return ["abcdefghijklmnopqrstuvwxyz".index(item["text"][0]) for item in islice(items, count)]


class TestRows:
    def test_are_those_of_the_catalogue(self, tmp_path):
        source = write_shards(tmp_path / "movies", in_shards(3, 1, 4))
        catalogue = load_catalogue(source, plot_columns=["plots", "plot"], seed=3)
        expected = {row["id"]: row for split in catalogue.splits.values() for row in split}
        rows = stream(source, plot_columns=["plots", "plot"])

        assert [movie["id"] for movie in rows.movies()] == [f"m{i}" for i in range(8)]
        for row in rows.movies():
            assert row["plots"] == expected[row["id"]]["plots"] and row["image"] == expected[row["id"]]["image"]
        for number, item in zip(taken(iter(rows), 8), islice(rows, 8), strict=True):
            pixels = PosterPixels(tiny_processor().image_processor)(open_image(noise(number)))
            assert item["text"] in expected[f"m{number}"]["plots"] and item["pixels"].equal(pixels["pixels"])

    def test_show_plots_without_names_where_that_is_asked_for(self, tmp_path):
        row = movie(0, title="Zorro", plot="A duel of Zorro with Ned.", plots=["Zorro's duel with Ned."])
        source = write_shards(tmp_path / "movies", [[row]])
        shown = {item["text"] for item in islice(stream(source, mask_names=True), 20)}
        assert shown == {"A duel of ... with ....", "...'s duel with ...."}

    def test_show_one_of_their_titles_to_a_share_of_the_items(self, tmp_path):
        source = write_shards(
            tmp_path / "movies",
            [[movie(0, title="Seven", original_title="Se7en"), movie(1, title="", original_title="")]],
        )
        items = [(item["id"], item["title"]) for item in islice(stream(source, title_share=0.5), 60)]
        assert set(items) == {("m0", "Seven"), ("m0", "Se7en"), ("m0", ""), ("m1", "")}
        assert items == [(item["id"], item["title"]) for item in islice(stream(source, title_share=0.5), 60)]
        assert "title" not in next(iter(stream(source)))

    def test_show_titles_to_a_share_between_0_and_1(self, tmp_path):
        with pytest.raises(ValueError, match="title_share must lie between 0 and 1"):
            stream(write_shards(tmp_path / "movies", in_shards(2)), title_share=2)

    def test_show_what_is_printed_on_posters_where_that_is_asked_for(self, tmp_path):
        lines = [{"text": "ab", "score": 0.9, "box": None}, {"text": "unsure", "score": 0.1, "box": None}]
        rows = [movie(i, poster_text=lines[i:]) for i in range(3)]  # on the third, nothing
        source = write_shards(tmp_path / "movies", [rows])
        shown = {item["id"]: item["poster_text"] for item in islice(stream(source, use_poster_text=True), 3)}
        assert shown == {"m0": "ab", "m1": "", "m2": ""}
        assert "poster_text" not in next(iter(stream(source)))
        assert stream(source).movies()["poster_text"][:] == [lines, lines[1:], []]

    @pytest.mark.parametrize("column", [True, False])
    def test_that_do_not_say_what_is_printed_are_bad_where_that_is_asked_for(self, column, tmp_path):
        source = write_shards(
            tmp_path / "movies", [[movie(i, **{"poster_text": None} if column else {}) for i in (0, 1)]]
        )
        rows = stream(source, use_poster_text=True)
        for read in (lambda: next(iter(rows)), rows.movies):
            with pytest.raises(CatalogueError, match=r"\(id m[01]\), [01].png: no poster_text"):
                read()
        assert len(stream(source).movies()) == 2

    @pytest.mark.parametrize("packed", [False, True])
    def test_of_an_image_folder_are_read_too(self, packed, tmp_path):
        (tmp_path / "movies" / "posters").mkdir(parents=True)
        lines = [{"file_name": f"posters/{i}.png", "id": i, "plot": "abc"[i] * 3} for i in range(3)]
        files = {f"posters/{i}.png": noise(i) for i in range(3)}
        files["metadata.jsonl"] = "\n".join(map(json.dumps, lines)).encode()
        with zipfile.ZipFile(tmp_path / "movies" / "train.zip", "w") if packed else contextlib.nullcontext() as archive:
            for name, content in files.items():
                archive.writestr(name, content) if packed else (tmp_path / "movies" / name).write_bytes(content)
        assert sorted(taken(iter(stream(str(tmp_path / "movies"))), 3)) == [0, 1, 2]

    def test_of_another_split_by_its_column_are_passed_over(self, tmp_path):
        rows = [movie(i, split=split) for i, split in enumerate(["train", "test", "train", "validation"])]
        source = write_shards(tmp_path / "movies", [rows])
        assert set(taken(iter(stream(source)), 6)) == {0, 2}
        with pytest.raises(CatalogueError, match="validation of the stream holds 1 movie"):
            stream(source, splits=["validation"]).movies()
        source = write_shards(tmp_path / "other", [[movie(0, split="train"), movie(1, split=None)]])
        with pytest.raises(CatalogueError, match=r"\(id m1\), 1.png: no split"):
            list(stream(source).movies())

    def test_are_shuffled_anew_in_each_pass_and_the_same_in_each_run(self, tmp_path):
        source = write_shards(tmp_path / "movies", in_shards(3, 1, 4))
        items = iter(stream(source))
        passes = [taken(items, 8) for _ in range(4)]
        assert all(sorted(one) == list(range(8)) for one in passes) and len(set(map(tuple, passes))) == 4
        assert taken(iter(stream(source)), 32) == [number for one in passes for number in one]
        assert taken(iter(stream(source, seed=1)), 8) != passes[0]

    def test_show_a_plot_that_each_pass_draws_anew(self, tmp_path):
        source = write_shards(tmp_path / "movies", [[movie(0, plots=["a" * i for i in range(4, 9)])]])
        texts = [item["text"] for item in islice(stream(source), 30)]
        assert set(texts) == {"a" * i for i in range(3, 9)}
        assert texts == [item["text"] for item in islice(stream(source), 30)]


class TestLaziness:
    def test_rows_without_end_are_no_obstacle(self):
        def rows():
            for number in itertools.count():
                yield movie(number)

        endless = IterableDataset.from_generator(rows, features=COLUMNS)
        assert set(taken(iter(MovieStream(endless, tiny_processor(), buffer_size=4)), 2)) < {0, 1, 2, 3}

    def test_the_first_batch_leaves_most_shards_alone(self, tmp_path):
        """One shard of ten is broken: most passes come to it late, and none gets round it."""
        source = write_shards(tmp_path / "movies", in_shards(*[2] * 10))
        (tmp_path / "movies" / "train-009.parquet").write_bytes(b"PAR1 and no more")
        early = 0
        for seed in range(5):
            items = iter(stream(source, seed=seed))
            try:
                assert len(taken(items, 2)) == 2
            except CatalogueError:
                early += 1
                continue
            with pytest.raises(CatalogueError, match="the stream cannot be read on"):
                taken(items, 20)
        assert early < 4


BAD_ROWS = {
    "a broken poster": ({"poster": {"bytes": noise(2)[:90], "path": "2.png"}}, r"2.png: image is truncated"),
    "no poster": ({"poster": None}, "no poster"),
    "no plot": ({"plot": None, "plots": [" "]}, "2.png: no plot"),
    "no id": ({"id": None}, "no id"),
}


class TestBadRows:
    @pytest.mark.parametrize(("fields", "reason"), BAD_ROWS.values(), ids=BAD_ROWS)
    def test_stop_with_one_line_or_are_left_out(self, fields, reason, tmp_path, caplog):
        source = write_shards(tmp_path / "movies", [[movie(0), movie(1), movie(2, **fields), movie(3)]])
        with pytest.raises(CatalogueError, match=reason) as caught:
            taken(iter(stream(source)), 4)
        assert "bad row: row " in str(caught.value) and "\n" not in str(caught.value)
        assert "id" in fields or "(id m2)" in str(caught.value)

        with caplog.at_level(logging.WARNING):
            rows = stream(source, on_bad_rows="skip")
            assert sorted(taken(iter(rows), 9)) == [0, 0, 0, 1, 1, 1, 3, 3, 3]
        assert rows.bad_rows == 1 and caplog.text.count("left out: row ") == 1

    def test_are_counted_in_workers_too(self, tmp_path):
        shards = [[movie(i), movie(i + 10, plot="", plots=[])] for i in range(2)]
        rows = stream(write_shards(tmp_path / "movies", shards), on_bad_rows="skip", workers=2)
        assert set(taken(iter(DataLoader(rows, None, num_workers=2)), 4)) == {0, 1} and rows.bad_rows == 2

    def test_of_nothing_else_a_stream_is_refused(self, tmp_path):
        rows = stream(write_shards(tmp_path / "movies", [[movie(0, id="")]]), on_bad_rows="skip")
        with pytest.raises(CatalogueError, match="no rows are left"):
            next(iter(rows))


class TestLabels:
    def positives(self, tmp_path, rows):
        """Whether the items of movies a and b, each in one row, are positives of each other in the first passes."""
        items = iter(stream(write_shards(tmp_path / "movies", [rows])))
        found = set()
        for _ in range(8):
            labels = torch.tensor([item["positive_id"] for item in islice(items, len(rows))])
            assert labels.dtype == torch.int64 and (labels >= 0).all()
            positives = positives_by_id(labels, labels)
            assert positives.diagonal().all() and torch.equal(positives, positives.T)
            found.add(bool(positives[0, 1]))
        return found

    def test_of_two_movies_differ(self, tmp_path):
        assert self.positives(tmp_path, [movie(0), movie(1)]) == {False}

    def test_of_one_movie_agree_whatever_plot_it_shows(self, tmp_path):
        assert self.positives(tmp_path, [movie(0), movie(1, id="m0")]) == {True}

    def test_of_two_movies_with_the_same_plots_agree(self, tmp_path):
        same = {"plot": "x", "plots": ["y", "z"]}
        assert self.positives(tmp_path, [movie(0, **same), movie(1, **same)]) == {True}

    def test_of_two_movies_agree_where_both_show_a_plot_that_they_share(self, tmp_path):
        rows = [movie(0, plot="x", plots=["y"]), movie(1, plot="x", plots=["z"])]
        assert self.positives(tmp_path, rows) == {True, False}

    def test_without_ids_are_those_of_the_plots(self, tmp_path):
        rows = [{name: value for name, value in movie(i).items() if name != "id"} for i in (0, 1)]
        assert self.positives(tmp_path, rows) == {False}
        assert self.positives(tmp_path, [rows[0], rows[0]]) == {True}

    def test_with_two_keys_give_the_loss_of_the_ids_they_stand_for(self):
        (images, texts), ids = torch.randn(2, 4, 8), torch.tensor([5, 6, 5, 7])
        expected = contrastive_loss(images, texts, Targets(ids))
        keys = torch.tensor([[1, 11], [2, 12], [1, 13], [3, 14]])  # 0 and 2 by the movie
        assert torch.equal(contrastive_loss(images, texts, Targets(keys)), expected)
        keys = torch.tensor([[1, 11], [2, 12], [4, 11], [3, 14]])  # by the plot
        assert torch.equal(contrastive_loss(images, texts, Targets(keys)), expected)


class TestShares:
    @pytest.mark.slow
    @pytest.mark.parametrize(("processes", "workers"), [(2, 0), (3, 0), (4, 0), (6, 0), (2, 2), (1, 4)])
    def test_are_disjoint_and_together_everything(self, processes, workers, tmp_path):
        source = write_shards(tmp_path / "movies", in_shards(3, 6, 4, 5))
        for number in range(3):
            seen = []
            for index in range(processes):
                share = stream(source, process_index=index, processes=processes, workers=workers)._pass(number)
                seen += [row["id"] for row in DataLoader(share, None, num_workers=workers)]
            assert sorted(seen) == sorted(f"m{i}" for i in range(18))

    @pytest.mark.slow
    def test_that_are_uneven_train_together_and_none_is_split_twice(self, tmp_path):
        write_shards(tmp_path / "movies", in_shards(9, 2, 1))
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        command = [*launch, "-m", "tests.processing.data.stream_run", str(tmp_path / "movies"), str(tmp_path / "run")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        for index in range(2):
            share = stream(str(tmp_path / "movies"), process_index=index, processes=2)
            expected = [list(item["positive_id"]) for item in islice(share, 24)]
            assert json.loads((tmp_path / "run" / f"{index}.json").read_text()) == expected

    def test_of_more_workers_than_shards_are_refused(self, tmp_path):
        source = write_shards(tmp_path / "movies", in_shards(1, 1, 1))
        with pytest.raises(CatalogueError, match=r"2 workers .* 1 shards: set dataloader_num_workers to 1 or less"):
            stream(source, processes=2, workers=2)
        stream(source, processes=2, workers=1)
