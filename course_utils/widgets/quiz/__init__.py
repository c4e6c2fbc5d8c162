"""Questions with one right option, each option with its own explanation."""
