"""Search in a catalogue: embeddings on disk, and the exact best answers to a query."""
