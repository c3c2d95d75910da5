"""What a loop can improve: one package a task."""
