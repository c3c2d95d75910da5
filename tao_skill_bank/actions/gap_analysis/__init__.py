"""Gap analysis: where a model is wrong or nearly wrong."""
