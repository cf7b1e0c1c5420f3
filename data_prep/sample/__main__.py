"""Prints how many pairs the bundled corpus has, and some of them."""

import lzma

from data_prep.sample import FOLDER, LANGUAGES


def read_lines(split: str, language: str) -> list[str]:
    """One side of a split."""
    return lzma.decompress((FOLDER / f"{split}.{language}.xz").read_bytes()).decode().splitlines()


def main() -> None:
    """Print the sizes of the splits, the first pairs of test, and where the files are."""
    splits = {
        split: list(zip(*(read_lines(split, language) for language in LANGUAGES), strict=True))
        for split in ("train", "valid", "test")
    }
    print("The bundled corpus, pairs:", *(f"{len(splits[name]):,} {name}" for name in splits))
    for src, tgt in splits["test"][:3]:
        print(f"\n  {src}\n  {tgt}")
    print(f"\nMore about it: {FOLDER / 'README.md'}")


if __name__ == "__main__":
    main()
