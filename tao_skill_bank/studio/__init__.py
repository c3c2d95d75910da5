"""The page that people work in: a server on loopback, its API, and what the browser is given."""
