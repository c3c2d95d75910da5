"""`cosmos-rl` and `cosmos-rl-evaluate` on this CPU: a small stand-in that truly learns, and says that it is one."""
