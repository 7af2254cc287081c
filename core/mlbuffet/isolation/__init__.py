"""Models in processes of their own, which look to the rest of MLBuffet like any model."""
