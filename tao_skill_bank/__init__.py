"""TAO Skill Bank: the DEFT loop, gap analysis and data mining for NVIDIA TAO vision models."""

__version__ = "0.1.0"
