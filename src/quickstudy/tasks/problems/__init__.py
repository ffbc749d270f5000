"""Optimisation problems as tasks, to train and test learned optimisers."""
