"""The second loop: a video VLM's yes/no answers."""
