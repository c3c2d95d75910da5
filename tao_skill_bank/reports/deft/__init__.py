"""What people look at of a DEFT run."""
