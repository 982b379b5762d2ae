# Called from compiled code and, in tests, through the pure twin: nothing of it is Python's to call.
