"""Embedding and nearest-neighbour mining of images."""
