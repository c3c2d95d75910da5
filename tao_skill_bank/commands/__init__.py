"""The console commands of `tao-skills`, a module a group; each parses, calls the engine, prints."""
