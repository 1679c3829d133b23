"""WHICH recipe comes next: samplers, the study, twins and budgets; Optuna's only door."""
