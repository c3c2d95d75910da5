"""AOI with Visual ChangeNet: the DEFT loop's configuration, pre-flight and stages."""
