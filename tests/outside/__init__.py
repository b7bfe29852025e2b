"""A platform that is not ours: Open edX's own LTI component, from the package index, in an environment of its own."""
