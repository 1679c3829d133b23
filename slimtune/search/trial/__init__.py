"""ONE trial: its body, its judge, its clock and what it shares; knows neither Ray nor Optuna."""
