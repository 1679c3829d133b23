"""Config files and what is typed, read strictly."""
