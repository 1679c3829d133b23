"""How a run is shown: tables, summaries, plots, the report."""
