"""Options of the learners that keep a distribution over what fits a task."""
