"""Embeddings on disk, and the movies that answer a query."""
