"""Optimisation problems as tasks: what learned optimisers are trained and tested on."""
