"""Published rows, studies and races: experiments that train, measure and write to `results/`."""
