"""What adapt has made, as a file for other programs."""
