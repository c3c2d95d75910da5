"""What people look at: reports, rendered from disk."""
