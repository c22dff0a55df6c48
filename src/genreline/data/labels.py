"""How the labels of a sample are written where it may have several: `piano|voice`."""

SEPARATOR = "|"


def labels_in(text: str) -> list[str]:
    """The labels of a sample, `voice|piano` as piano and voice: different ones, sorted. Without `|` it is one."""
    if SEPARATOR not in text:
        return [text] if text else []
    return sorted({label.strip() for label in text.split(SEPARATOR)} - {""})
