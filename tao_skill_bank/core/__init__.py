"""What everything stands on: errors, files, clock, processes, text, YAML, TAO's override grammar."""
