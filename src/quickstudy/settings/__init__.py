"""What a run is, as plain dataclasses: the command line reads them, `config.json` keeps them."""
