"""Training data as meta-parameters."""
