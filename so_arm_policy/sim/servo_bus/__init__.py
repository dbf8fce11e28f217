"""A simulated bus of STS3215 servos: the byte protocol, the servos' memory, the physics behind it, a pseudo-terminal.

It knows the protocol by itself and shares no code with the driver, so that a mistake of one is not made by both.
"""
