import pytest

from processing.catalogue.sources.columns import Columns

EXPORTS = {
    "TMDB and The Movies Dataset": (
        "adult,belongs_to_collection,genres,id,imdb_id,original_title,overview,poster_path,release_date,title",
        {"title": "title", "other_titles": "original_title", "year": "release_date", "plots": "overview"}
        | {"genres": "genres", "series": "belongs_to_collection", "image": "poster_path", "id": "id"},
        ["adult"],
    ),
    "IMDb": (
        "tconst,titleType,primaryTitle,originalTitle,startYear,runtimeMinutes,genres",
        {"id": "tconst", "title": "primaryTitle", "other_titles": "originalTitle", "year": "startYear"}
        | {"genres": "genres"},
        ["titleType", "runtimeMinutes"],
    ),
    "IMDb's top 1000": (
        "Poster_Link,Series_Title,Released_Year,Genre,Overview",
        {"image": "Poster_Link", "title": "Series_Title", "year": "Released_Year", "genres": "Genre"}
        | {"plots": "Overview"},
        [],
    ),
    "OMDb": (
        "Title,Year,Released,Genre,Plot,Poster,imdbID",
        {"title": "Title", "year": ["Year", "Released"], "genres": "Genre", "plots": "Plot", "image": "Poster"}
        | {"id": "imdbID"},
        [],
    ),
    "Wikipedia plots": (
        "Release Year,Title,Origin/Ethnicity,Director,Genre,Wiki Page,Plot",
        {"year": "Release Year", "title": "Title", "genres": "Genre", "plots": "Plot"},
        ["Origin/Ethnicity", "Director", "Wiki Page"],
    ),
    "Letterboxd": (
        "Date,Name,Year,Letterboxd URI",
        {"title": "Name", "year": "Year", "id": "Letterboxd URI"},
        ["Date"],
    ),
    "Plex": (
        "Rating Key,Title,Original Title,Year,Summary,Genres,Thumb",
        {"id": "Rating Key", "title": "Title", "other_titles": "Original Title", "year": "Year", "plots": "Summary"}
        | {"genres": "Genres", "image": "Thumb"},
        [],
    ),
    "MovieLens": ("movieId,title,genres", {"id": "movieId", "title": "title", "genres": "genres"}, []),
    "MPST": (
        "imdb_id,title,plot_synopsis,split",
        {"id": "imdb_id", "title": "title", "plots": "plot_synopsis", "split": "split"},
        [],
    ),
}


@pytest.mark.parametrize(("header", "understood", "unknown"), EXPORTS.values(), ids=EXPORTS)
def test_the_columns_of_public_exports_are_understood(header, understood, unknown):
    columns = Columns.find(header.split(","))
    assert columns.report() == understood and columns.unknown == unknown


def test_case_spaces_and_punctuation_do_not_matter():
    for name in ("movie_title", "Movie Title", "MOVIE-TITLE", "movieTitle"):
        assert Columns.find([name])["title"] == [name]


def test_columns_of_plots_can_be_named_and_keep_their_order():
    columns = Columns.find(["title", "plot", "Poem", "tagline"], ["tagline", "poem"])
    assert columns["plots"] == ["tagline", "Poem"] and columns.unknown == ["plot"]
    assert Columns.find(["title", "plot"], ["title"]).report() == {"plots": "title"}
