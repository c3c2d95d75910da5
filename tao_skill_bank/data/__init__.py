"""What data and specs look like, and what TAO refuses."""
