"""Matching posters with movies: the library behind `scripts/match.py`."""
