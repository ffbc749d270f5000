"""Networks that read a data set and keep a summary of it."""
