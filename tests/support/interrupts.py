"""Ctrl-C works in what the tests start, also where a shell that runs the suite in the background has it ignored."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
