"""WHICH recipe comes next: samplers, study, twins, budgets. Only this folder imports Optuna."""
