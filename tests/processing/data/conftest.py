import pytest
from datasets import Dataset
from PIL import Image


@pytest.fixture
def movies() -> Dataset:
    posters = [Image.new("RGB", (20, 30), (i * 40, 0, 0)) for i in range(4)]
    return Dataset.from_dict({"image": posters, "plots": [["a"], ["b", "bb", "bbb"], ["c", "cc"], ["d"]]})
