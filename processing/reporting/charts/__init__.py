"""Charts of the report pages, each legible at a width of 340 pixels."""
