"""Where a request goes: by its model name, by the classifier's decision, by its conversation."""
