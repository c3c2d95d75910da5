"""Where command lines run: one vocabulary of jobs for every platform."""
