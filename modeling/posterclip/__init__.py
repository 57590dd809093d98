"""The model. This folder goes to the Hub whole: it is flat and imports nothing of ours outside itself."""
