"""The server under load, malformed requests, replaced files and signals."""
