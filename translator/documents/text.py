"""Plain text: a line is a text, and a sentence may run over hard-wrapped lines."""

from translator.documents.document import Document, join, line_places, plain_pieces


def read_text(text: str) -> Document:
    """Each line is a piece; lines that a sentence runs over are one."""
    return Document(text, plain_pieces(text, join(text, [*line_places(text)])))
