"""The bank itself: images, skills, transcripts."""
