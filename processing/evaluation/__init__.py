"""Ranks of a pool and what follows from them."""
