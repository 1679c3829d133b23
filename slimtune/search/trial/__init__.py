"""ONE trial: its body, its judge, its clock and what it shares. It knows no Ray and no Optuna."""
