"""Checked items as the files that trainers read: six layouts, split by content, with a card and the provenance."""
