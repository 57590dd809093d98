"""Retrieval metrics between two sides with shared ids: a metric for `evaluate`, and the base of all evaluations."""
