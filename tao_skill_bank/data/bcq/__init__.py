"""Yes/no questions about videos: records, clips, leakage, evaluations joined by id, the target's grammar."""
