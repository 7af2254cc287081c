"""Counts the words of a text that the models were trained with."""

from pathlib import Path

import numpy as np

from mlbuffet_python import Float32, Text, signature


class Words:
    def __init__(self) -> None:
        words = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").split()
        self.columns = {word: column for column, word in enumerate(words)}

    @signature
    def count(self, text: Text["batch"]) -> {"counts": Float32["batch", "words"]}:
        """How often each known word is in each text."""
        counts = np.zeros((len(text), len(self.columns)), np.float32)
        for row, one in enumerate(text):
            for word in one.lower().split():
                if word in self.columns:
                    counts[row, self.columns[word]] += 1
        return {"counts": counts}
