"""Which generated items may be trained on: rules that read an item, rules that read them all, and their patterns."""
