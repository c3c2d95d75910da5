"""What people look at of an annotation."""
