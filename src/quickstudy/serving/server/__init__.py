"""Adapted learners over HTTP: `quickstudy serve`. The interface is in docs/serving.md."""
