"""Messages of errors, cut and made fit for clients and logs: they may repeat what a client sent."""

LONGEST_MESSAGE = 1000
LONGEST_LINE = 10_000


def one_line(text: str) -> str:
    """``text`` fit for a log: messages of frameworks have many lines, and may repeat what a client sent."""
    words = short(" ".join(text.split()), LONGEST_LINE)
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words)


def short(message: str, most: int) -> str:
    """``message`` without its middle where it is longer than ``most``."""
    half = most // 2
    return message if len(message) <= most else f"{message[:half]} ... {message[-half:]}"
