import gc
import os
import shutil
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


BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium():
    """A browser that starts no traffic of its own."""
    sync_api = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on the PATH")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()


def pytest_collection_finish():
    """Leaves what is imported out of garbage collections: Trainer runs several in each training."""
    gc.freeze()


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)
