"""Embeddings of many posters and plots, a cache of encoder features, and ONNX export."""
