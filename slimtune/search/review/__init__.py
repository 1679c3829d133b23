"""ONE trial or file alone: run again, verified, evaluated, compared."""
