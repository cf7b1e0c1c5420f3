"""Text <-> ids with SentencePiece (Kudo & Richardson 2018): one vocabulary for both languages.

Special and reserved pieces are control symbols: SentencePiece never produces those from text, so
no user can type his way into one of them.
"""

import io
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from translator.config.errors import TranslatorError

PAD, UNK, BOS, EOS = 0, 1, 2, 3
N_COPY = 16  # placeholders for spans that are carried over as they are
COPY_PIECES = tuple(f"<copy_{i}>" for i in range(N_COPY))
RESERVED_PIECES = ("<bt>", "<2en>", "<2de>", *COPY_PIECES, *(f"<spare_{i}>" for i in range(16)))

# SentencePiece writes a space as U+2581. A literal one would come back as a space, so it travels
# as this noncharacter, which Unicode promises never to assign.
_SPACE_MARK, _ESCAPE = "\u2581", "\U0010fffe"

IdPair = tuple[list[int], list[int]]  # source and target ids, without BOS and EOS


class Tokenizer:
    """A trained SentencePiece model. `tokenizer.model_bytes` is the file's content."""

    def __init__(self, model_bytes: bytes):
        import sentencepiece

        self.model_bytes = model_bytes
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model_bytes)
        except RuntimeError:
            raise TranslatorError("The tokenizer is damaged: copy tokenizer.model again.") from None
        self.vocab_size: int = self._processor.GetPieceSize()
        self.copy_ids = tuple(self._processor.PieceToId(piece) for piece in COPY_PIECES)
        if UNK in self.copy_ids:
            raise TranslatorError("tokenizer.model lacks this project's reserved pieces.")
        self.bt_id: int = self._processor.PieceToId("<bt>")  # leads a synthetic source
        self._control = frozenset(
            [PAD, BOS, EOS, *(self._processor.PieceToId(piece) for piece in RESERVED_PIECES)]
        )
        # The ids of the 256 bytes, in order.
        self.all_bytes = [self._processor.PieceToId(f"<0x{byte:02X}>") for byte in range(256)]
        # The pieces that text is cut into, each with its id; bytes stand for all other characters.
        others = {UNK, *self._control, *self.all_bytes}
        self._pieces = [self._processor.IdToPiece(i) for i in range(self.vocab_size)]
        self.text_pieces = {piece: i for i, piece in enumerate(self._pieces) if i not in others}
        # The characters that text pieces are made of; all others are spelled in bytes.
        self.alphabet = frozenset("".join(self.text_pieces)) - {_SPACE_MARK} | {" "}

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Reads a `tokenizer.model` file."""
        return cls(path.read_bytes())

    @classmethod
    def train(
        cls,
        lines: Iterable[str],
        vocab_size: int,
        model_type: str = "unigram",
    ) -> "Tokenizer":
        """Trains a model on lines of both languages; it holds them in memory.

        The result is a function of the lines alone: the thread count, on which SentencePiece
        depends, is fixed. A corpus too small for `vocab_size` pieces gets fewer.

        Args:
            lines: the text.
            vocab_size: pieces, the special, reserved and byte pieces included.
            model_type: "unigram" (Kudo 2018) or "bpe" (Sennrich et al. 2016).

        Raises:
            TranslatorError: there is nothing to learn from, or more characters than `vocab_size`
                pieces.
        """
        import sentencepiece

        buffer = io.BytesIO()
        text = (line.replace(_SPACE_MARK, _ESCAPE) for line in lines)
        try:
            sentencepiece.SentencePieceTrainer.Train(
                sentence_iterator=text,
                model_writer=buffer,
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                model_type=model_type,
                character_coverage=0.99999,  # rarer characters are bytes
                byte_fallback=True,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                max_sentence_length=16384,
                num_threads=4,
                control_symbols=list(RESERVED_PIECES),
                pad_id=PAD,
                unk_id=UNK,
                bos_id=BOS,
                eos_id=EOS,
                minloglevel=2,
            )
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            if few := re.search(r"required_chars\. \d+ vs (\d+)", reason):
                raise TranslatorError(
                    f"{vocab_size:,} pieces are too few for the characters of this text: take more "
                    f"than {int(few[1]):,} (--set data.vocab_size=...)."
                ) from None
            raise TranslatorError(f"No tokenizer could be trained: {reason}") from None
        return cls(buffer.getvalue())

    @cached_property
    def starts_word(self) -> list[bool]:
        """For each id: does it begin a new word?"""
        return [piece.startswith(_SPACE_MARK) for piece in self._pieces]

    @cached_property
    def is_mark(self) -> list[bool]:
        """For each id: is it a punctuation mark?"""
        texts = (piece.lstrip(_SPACE_MARK) for piece in self._pieces)
        return [bool(text) and not any(map(str.isalnum, text)) for text in texts]

    @cached_property
    def model_type(self) -> str:
        """The type that it was trained as: "unigram" or "bpe"."""
        try:  # only a unigram model can list the n best segmentations
            self._processor.NBestEncodeAsIds("a", 1)
        except RuntimeError:
            return "bpe"
        return "unigram"

    def tag(self, language: str) -> int:
        """The piece that asks for a target language (Johnson et al. 2017).

        Raises:
            TranslatorError: no piece is reserved for it.
        """
        piece = f"<2{language}>"
        if piece not in RESERVED_PIECES:
            raise TranslatorError(
                f"Both directions in one model are for en and de, not {language}."
            )
        return self._processor.PieceToId(piece)

    def encode(self, text: str) -> list[int]:
        """`text` as ids, without BOS or EOS. No text gives a control symbol."""
        return self._processor.EncodeAsIds(text.replace(_SPACE_MARK, _ESCAPE))

    def marked(self, word: str) -> str:
        """A word as the pieces spell it: its mark in front, a literal mark in it escaped.

        Words are what single spaces part. No piece reaches over the end of one: the ids of a
        non-empty text are those of its words, one after the other.
        """
        return _SPACE_MARK + word.replace(_SPACE_MARK, _ESCAPE)

    def score(self, i: int) -> float:
        """A text piece's log-probability (unigram) or how early it is merged (bpe: 0, -1, ...)."""
        return self._processor.GetScore(i)

    def byte_ids(self, character: str) -> tuple[int, ...]:
        """The ids that spell a character which is in no text piece: its UTF-8 bytes."""
        return tuple(self.all_bytes[byte] for byte in character.encode())

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; control symbols are dropped. `decode(encode(text)) == text`."""
        kept = [i for i in ids if i not in self._control]
        return self._processor.DecodeIds(kept).replace(_ESCAPE, _SPACE_MARK)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces themselves, for pictures and reports."""
        return [self._pieces[i] for i in ids]
