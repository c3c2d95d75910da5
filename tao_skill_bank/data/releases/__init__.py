"""What each TAO release takes: facts read from the published wheels by `make releases`, and what is asked of them."""
