"""The data that runs are trained and tested on."""
