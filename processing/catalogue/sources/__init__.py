"""Sources of movies and posters: the files that people have, read into rows."""
