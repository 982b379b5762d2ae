"""What tests of several folders stand on: farms, SIPp, scripted peers, databases, waiting.

What serves tests of the running farm does not know how ds_farm works inside: it starts the
installed command, speaks SIP and HTTP, and reads the shared segment as any tool may (`counts` by
the product's `Registry`).  `parts`, `pure` and `request` call single modules, for tests of those.
"""
