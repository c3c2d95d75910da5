"""Picture files: what they are as facts, how they are decoded, and what was found out about them before."""
