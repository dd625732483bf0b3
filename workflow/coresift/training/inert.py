"""What of an optimisation decides no byte of its result; by itself, for every training reads it."""

#: Keys of `settings.Optimisation`.
INERT = frozenset({"checkpoint_steps"})
