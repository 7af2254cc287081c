"""Train the two models in the middle with scikit-learn, and save them as ONNX."""

from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

MESSAGES = [
    ("my parcel is late again and nobody answers", "delivery", "angry"),
    ("this is the third wrong invoice", "billing", "angry"),
    ("where is my parcel", "delivery", "calm"),
    ("please send the invoice to my new address", "billing", "calm"),
    ("the parcel came broken again", "delivery", "angry"),
    ("thank you the parcel is here", "delivery", "calm"),
    ("i paid the invoice twice and nobody answers", "billing", "angry"),
    ("thank you for the invoice", "billing", "calm"),
]
texts, topics, tones = zip(*MESSAGES, strict=True)
words = CountVectorizer(token_pattern=r"\S+").fit(texts)
counts = words.transform(texts).toarray().astype(np.float32)

Path("models/words/words.txt").write_text("\n".join(words.get_feature_names_out()), encoding="utf-8")
for name, labels in {"topic": topics, "tone": tones}.items():
    model = to_onnx(LogisticRegression(C=10).fit(counts, labels), counts[:1], options={"zipmap": False})
    Path("models", name).mkdir(exist_ok=True)
    Path("models", name, "model.onnx").write_bytes(model.SerializeToString())
