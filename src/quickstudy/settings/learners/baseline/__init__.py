"""Options of the baselines."""
