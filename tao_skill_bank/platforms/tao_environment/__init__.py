"""An environment with NVIDIA's own TAO packages from the Python index: planned, made, checked, registered."""
