"""What a frozen threshold is shown to do, whether it goes on holding, and how it may be moved: from scores alone."""
