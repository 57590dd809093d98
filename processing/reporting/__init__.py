"""Results as files, tables, charts, pages and model cards."""
