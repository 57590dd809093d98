"""Experiments: hyperparameter search and ablations."""
