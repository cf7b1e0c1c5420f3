"""Prints how many pairs the bundled corpus has, and some of them."""

from data_prep.formats import read_pairs
from data_prep.sample import FOLDER, LANGUAGES


def main() -> None:
    """Print the sizes of the splits, the first pairs of test, and where the files are."""
    splits = {
        split: read_pairs(*(FOLDER / f"{split}.{language}.xz" for language in LANGUAGES))
        for split in ("train", "valid", "test")
    }
    print("The bundled corpus, pairs:", *(f"{len(splits[name]):,} {name}" for name in splits))
    for src, tgt in splits["test"][:3]:
        print(f"\n  {src}\n  {tgt}")
    print(f"\nMore about it: {FOLDER / 'README.md'}")


if __name__ == "__main__":
    main()
