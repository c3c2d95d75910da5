"""The command line `auto_label`: video reasoning annotation with any Gemini or OpenAI-compatible endpoint."""
