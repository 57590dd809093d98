import pytest

from processing.catalogue.catalogue import CatalogueError, load_catalogue
from processing.catalogue.movies import read_movie
from processing.catalogue.sources.layouts import read_source
from tests.processing.catalogues import ids, movielens, poster, write_csv


class TestMovieLens:
    MOVIES = (
        "1::Matrix, The (1999)::Action|Sci-Fi",
        "2::Misérables, Les (1995)::Drama",
        "7::Femme Nikita, La (Nikita) (1990)::(no genres listed)",
    )
    PLOTS = ("1::A hacker wakes up.", "2\tA thief: redeemed.", "7::A thief is trained.", "7::A second plot.")

    def test_the_layout_of_the_seed(self, tmp_path):
        catalogue = load_catalogue(movielens(tmp_path, self.MOVIES, self.PLOTS, train=[2, 7]))
        assert ids(catalogue) == {"train": ["2", "7"], "test": ["1"]}
        assert catalogue.split_by == "train.txt"
        assert catalogue.splits["test"].remove_columns("image")[0] == {
            **{"id": "1", "plots": ["A hacker wakes up."], "title": "The Matrix", "other_titles": []},
            **{"year": 1999, "genres": ["Action", "Sci-Fi"], "series": "matrix", "poster_text": None},
        }
        assert catalogue.splits["train"].remove_columns("image")[:] == {
            "id": ["2", "7"],
            "plots": [["A thief: redeemed."], ["A thief is trained.", "A second plot."]],
            "title": ["Les Misérables", "La Femme Nikita"],
            "other_titles": [[], ["Nikita"]],
            "year": [1995, 1990],
            "genres": [["Drama"], []],
            "series": ["les miserables", "la femme nikita"],
            "poster_text": [None, None],
        }

    def test_plots_in_csv_and_posters_in_another_folder(self, tmp_path):
        source = movielens(tmp_path, self.MOVIES, ["x"])
        (tmp_path / "posters").rename(tmp_path / "ml1m-images")
        (tmp_path / "plots.txt").unlink()
        plots = [["movieId", "plot_short", "plot_long"], [1, "s", "l"], [2, "", "m"], [7, "t", "n"]]
        write_csv(tmp_path / "plots.csv", plots)
        catalogue = load_catalogue(source, seed=1)
        assert catalogue.columns["plots"] == ["plot_short", "plot_long"]
        assert {name: len(split) for name, split in catalogue.splits.items()} == {
            **{"train": 1, "validation": 1, "test": 1}
        }
        plots = {
            id: plots
            for split in catalogue.splits.values()
            for id, plots in zip(split["id"], split["plots"], strict=True)
        }
        assert plots == {"1": ["s", "l"], "2": ["m"], "7": ["t", "n"]}

    def test_what_does_not_fit_is_named(self, tmp_path):
        movies = [*self.MOVIES, "8::No Plot (2000)::Drama", "nonsense"]
        source = movielens(tmp_path, movies, [*self.PLOTS, "9::A plot of nothing", "?"], train=[1, 77])
        (tmp_path / "posters" / "2.jpg").unlink()
        (tmp_path / "movies.dat").write_text("".join(f"{line}\n" for line in [*movies, "10::Neither (2001)::"]))
        catalogue = load_catalogue(source, on_bad_rows="skip")
        assert ids(catalogue) == {"train": ["1"], "test": ["7"]}
        assert [str(bad) for bad in catalogue.bad_rows] == [
            "movies.dat row 2 (id 2): no poster is called by its id",
            "movies.dat row 4 (id 8), posters/8.jpg: no plot",
            "movies.dat row 5 (id nonsense), posters/nonsense.jpg: not id::title::genres",
            "movies.dat row 6 (id 10): no poster is called by its id, and it has no plot either",
            "plots.txt row 5 (id 9): not in movies.dat",
            "plots.txt row 6: neither id::plot nor id, tab, plot",
            "train.txt row 2 (id 77): not in movies.dat",
        ]

    @pytest.mark.parametrize(
        ("missing", "message"),
        [
            ("plots.txt", "plots in one of plots.txt, .*found: none"),
            ("posters", "no poster in .* is called by the id of a movie"),
        ],
    )
    def test_a_part_is_missing(self, tmp_path, missing, message):
        source = movielens(tmp_path, self.MOVIES, self.PLOTS)
        (tmp_path / missing).rename(tmp_path / "elsewhere")
        for file in (tmp_path / "elsewhere").glob("*.jpg"):
            file.unlink()
        with pytest.raises(CatalogueError, match=message):
            load_catalogue(source)

    def test_the_layout_of_20m_with_posters_by_the_number_of_imdb(self, tmp_path):
        write_csv(
            tmp_path / "movies.csv", [["movieId", "title", "genres"], [1, "Seven (a.k.a. Se7en) (1995)", "Crime|War"]]
        )
        write_csv(tmp_path / "links.csv", [["movieId", "imdbId", "tmdbId"], [1, "0114369", 807]])
        write_csv(tmp_path / "plots.csv", [["movieId", "plot"], [1, "Two detectives."]])
        for name in ("0114369", "tt0114369", "114369", "807", "1"):
            file = poster(tmp_path / "posters" / f"{name}.jpg")
            found = read_source(str(tmp_path))
            assert [row.poster for row in found.rows] == [f"posters/{name}.jpg"]
            file.unlink()
        movie = read_movie(found.rows[0].fields, found.columns)
        assert (movie["title"], movie["other_titles"], movie["year"]) == ("Seven", ["Se7en"], 1995)
        assert movie["genres"] == ["Crime", "War"] and movie["plots"] == ["Two detectives."]

    def test_the_kind_of_id_that_finds_most_posters_counts(self, tmp_path):
        write_csv(tmp_path / "movies.csv", [["movieId", "title", "genres"], [1, "A", ""], [2, "B", ""], [3, "C", ""]])
        write_csv(tmp_path / "links.csv", [["movieId", "imdbId", "tmdbId"], [1, 11, 2], [2, 12, 3], [3, 13, 4]])
        write_csv(tmp_path / "plots.csv", [["movieId", "plot"], [1, "A."], [2, "B."], [3, "C."]])
        for number in (2, 3, 4):
            poster(tmp_path / "posters" / f"{number}.jpg")
        posters = {row.fields["title"]: row.poster for row in read_source(str(tmp_path)).rows}
        assert posters == {"A": "posters/2.jpg", "B": "posters/3.jpg", "C": "posters/4.jpg"}
