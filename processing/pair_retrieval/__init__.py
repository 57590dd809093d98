"""Retrieval between two sides by their ids: a metric for `evaluate`, and what the project's own numbers are made of."""
