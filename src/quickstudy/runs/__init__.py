"""The life of a run: from settings to a trained, saved and measured learner."""
