"""The fastest way to run a model on this CPU: exported, proven, measured, and kept in the bundle."""
