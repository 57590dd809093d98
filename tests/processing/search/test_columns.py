import numpy as np
import pytest
from datasets import Dataset

from processing.pair_retrieval.hybrid_vectors import HybridVectors
from processing.search.columns import column_features, from_columns, to_columns


@pytest.mark.parametrize("ngram_dim", [64, 0])
def test_embeddings_come_back_from_parquet_as_they_were(ngram_dim, tmp_path):
    array = np.random.default_rng(0).standard_normal((50, 8 + ngram_dim)).astype(np.float32)
    array[:, 8:][array[:, 8:] < 1] = 0
    rows = HybridVectors.from_array(array, dense_dim=8)
    columns = {name: column for side in ("poster", "plot") for name, column in to_columns(rows, side).items()}
    Dataset.from_dict(columns, column_features(8, ngram_dim)).to_parquet(tmp_path / "rows.parquet", batch_size=7)
    movies = Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "cache"))
    for dataset, expected in ((movies, array), (movies.select(range(9, 30)), array[9:30])):
        for side in ("poster", "plot"):
            found = from_columns(dataset, side, ngram_dim)
            assert np.array_equal(found.to_array(), expected)
            assert found.sparse.indices.dtype == found.sparse.indptr.dtype == np.int32
