"""Text for property tests, which several files share."""

from hypothesis import strategies as st

# What ends a line elsewhere does not here: only "\n" does, and no line holds that.
ANY_LINE = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\n"),
        st.sampled_from("\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x00\ufeff\u2581\ue000 ."),
    ),
    max_size=30,
)
# Also with what begins and ends sentences.
LINE = st.one_of(
    ANY_LINE,
    st.lists(
        st.sampled_from(
            [
                *[
                    "The dog runs.",
                    "A man!",
                    "the",
                    "boy",
                    "Dr.",
                    "3.5",
                    "?",
                    "(The bird)",
                    "λόγος",
                ],
                *[" ", "  ", "\t", "\r", "\u00a0", "\u2028", "👍", "www.x.org", "x" * 90],
            ]
        ),
        max_size=12,
    ).map("".join),
)
