"""Learners that infer a distribution over the parameters of a task."""
