"""Splits by series: titles, near-duplicates, and which movie goes where."""
