"""The pages of the second loop: root cause of one evaluation, and the report of a run."""
