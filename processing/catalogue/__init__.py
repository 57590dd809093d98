"""A catalogue of movies: any known layout in, one checked DatasetDict out."""
