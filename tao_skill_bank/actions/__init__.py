"""The TAO command lines, on this machine's CPU."""
