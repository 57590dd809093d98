import os
import tempfile

# The tests' own, so that they neither read nor fill anybody's caches.
os.environ["HF_HOME"] = (home := tempfile.TemporaryDirectory()).name
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import datasets
import pytest
import torch
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
datasets.disable_progress_bars()


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)
