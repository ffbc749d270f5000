"""Options of the gradient-based learners."""
