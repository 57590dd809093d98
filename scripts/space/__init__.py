"""A Space of the Hub, which also runs at home: `scripts/app.py` writes its folder."""
