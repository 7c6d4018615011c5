SELECT leaves, checkpoint FROM audit.relayed
