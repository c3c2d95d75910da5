"""Evaluation files of video-language models in, checked training records out."""
