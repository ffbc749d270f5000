"""Options of the learners that read the support set."""
