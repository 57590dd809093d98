"""Batches of posters and plots for training and evaluation."""
