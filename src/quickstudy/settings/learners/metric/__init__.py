"""Options of the learners that compare inputs in a learned space."""
