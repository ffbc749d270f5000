"""The options of each learner on the command line, a file a family. Nothing here imports JAX."""
