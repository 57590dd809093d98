"""Matching posters with a table of movies: features of a pair, its score, the confidence and the decision."""
