"""The evaluation of a model: behind `scripts/evaluate.py`."""
