"""Learning what to train on: training data as meta-parameters."""
