"""Output to a terminal, a pipe, a log or a notebook."""
