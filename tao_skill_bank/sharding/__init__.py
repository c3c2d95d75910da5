"""Work cut into the tasks of a job array."""
