"""The DEFT loop: state, log, pre-flight, gates, stages, engine."""
