"""Checks that ask a model: can an item be answered blind, does a second model agree, does the video show it then."""
