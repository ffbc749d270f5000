"""Networks that read a data set in its order, and keep what they have read."""
