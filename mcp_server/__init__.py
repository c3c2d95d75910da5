"""The MCP door: parse, call one public function of the engine, hand back a small typed result. No logic."""
