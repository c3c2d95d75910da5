"""Root-cause analysis of a ChangeNet evaluation, as a report."""
