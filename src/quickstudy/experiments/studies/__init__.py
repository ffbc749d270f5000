"""Questions about learners, answered by experiments that end in a picture."""
