"""Learners that keep a distribution over what fits a task."""
