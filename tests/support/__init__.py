"""What tests of the running farm stand on: farms, SIPp, scripted peers, databases, waiting.

Nothing here knows how ds_farm works inside; it starts the installed command, speaks SIP and
HTTP, and reads the shared segment as any tool may.
"""
