"""TAO containers on a Docker engine."""
