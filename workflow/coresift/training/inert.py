"""What of an optimisation decides no byte of its result; by itself, as every training imports it."""

#: Keys of `settings.Optimisation`.
INERT = frozenset({"checkpoint_steps"})
