from processing import PosterCLIPProcessor
from processing.catalogue.fingerprints import plot_keys, plot_settings, poster_settings
from tests.tiny import tiny_processor


def test_settings_are_those_that_change_the_tensors(tmp_path):
    processor = tiny_processor()
    before = poster_settings(processor), plot_settings(processor)
    processor(text=["a", "bcd"], return_tensors="pt")  # a call leaves its padding in the tokenizer
    processor.save_pretrained(tmp_path)
    for same in (processor, PosterCLIPProcessor.from_pretrained(tmp_path)):
        assert (poster_settings(same), plot_settings(same)) == before
    assert plot_settings(tiny_processor(max_length=8)) != before[1]
    processor.tokenizer.truncation_side = "left"
    assert plot_settings(processor) != before[1]
    processor.image_processor.resample = 0
    assert poster_settings(processor) != before[0]


def test_plots_are_known_by_their_text():
    assert plot_keys(["a", "b", "a"])[0] == plot_keys(["a"])[0] != plot_keys(["b"])[0]
