"""`channel-gates`: the feature maps of a stage, each with its gate; move a gate and see the answer change."""
