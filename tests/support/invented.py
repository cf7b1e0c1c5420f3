"""What `translator evaluate --json` prints, invented: the shape is real, the figures are not."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

METRICS = {
    "bleu": "tok:13a",
    "chrf": "nc:6",
    "ter": "case:lc",
    "multi30k_bleu": "case:lc|tok:moses",
}
WORDS = {
    "the": "der",
    "dog": "Hund",
    "man": "Mann",
    "bird": "Vogel",
    "teacher": "Lehrer",
    "runs": "rennt",
    "sings": "singt",
    "waits": "wartet",
    "and": "und",
    "slowly": "langsam",
    "today": "heute",
    "in": "in",
    "garden": "Garten",
    "seven": "sieben",
}
GROUPS = {
    "source length": ["1-8 words", "9-12 words", "13-17 words", "18 words and more"],
    "rarest source word in the training data": ["never seen", "1-9 times", "10 times and more"],
    "in the training data": ["no", "source", "target", "both sides"],
}
GUARDS = {
    "empty": {"sentences": 0, "share": 0.0},
    "loop": {"sentences": 2, "share": 0.02},
    "numbers": {"sentences": 1, "share": 0.01},
}
SEEN = ["both sides", "source", "target", "no"]


def make_results(
    sentences: int = 60,
    compare: bool = False,
    model: bool = True,
    split: str = "test",
    texts: Mapping[int, tuple[str, str, str]] = {},
    seed: int = 1,
) -> dict[str, Any]:
    """Of one split.

    Args:
        sentences: how many.
        compare: with a second system.
        model: without one, it is a file of hypotheses.
        split: its name.
        texts: (source, reference, hypothesis) of some lines, in place of invented ones.
        seed: another one, other figures.
    """
    rng = random.Random(seed)
    lines = [_line(n, rng, model, texts.get(n)) for n in range(sentences)]
    order = sorted(range(sentences), key=lambda n: lines[n]["chrf"])
    shown = {
        "worst": order[:6],
        "best": order[::-1][:6],
        "random": sorted({*rng.sample(range(sentences), min(6, sentences)), *texts}),
    }
    analysis: dict[str, Any] = {
        "breakdown": _breakdown(rng, sentences),
        "guards": GUARDS,
        "confidence": _confidence(rng, sentences) if model else None,
        "lines": lines,
        "shown": shown,
    }
    result: dict[str, Any] = {
        "split": split,
        "sentences": sentences,
        "scores": _scores(rng),
        "analysis": analysis,
    }
    if model:
        numbers = {n for some in shown.values() for n in some}
        analysis["attention"] = {str(n): _attention(rng, lines[n]) for n in sorted(numbers)}
        analysis["robustness"] = _robustness(rng, sentences)
        result |= {
            "search": {"beam_size": 5, "length_penalty": 1.0},
            "seconds": 12.5,
            "sentences_per_second": 80.0,
            "clean_part": {"sentences": sentences - 3, "scores": _scores(rng)},
            "model": {
                "name": "invented-en-de",
                "parameters": 2_093_568,
                "direction": ["en", "de"],
                "training": {"steps": 12_000, "target_tokens": 9_000_000, "minutes": 104.8},
            },
        }
    if compare:
        others = [_line(n, rng, model, texts.get(n), line) for n, line in enumerate(lines)]
        scores = _scores(rng)
        result["compare"] = {
            "name": "other-en-de",
            "sentences": sentences,
            "scores": scores,
            "delta": {
                metric: _delta(result["scores"][metric]["score"] - score["score"], p)
                for (metric, score), p in zip(scores.items(), (0.012, 0.41, 0.0004), strict=False)
            },
            "analysis": {
                "breakdown": _breakdown(rng, sentences),
                "guards": GUARDS,
                "lines": others,
            },
        }
        if model:
            result["compare"] |= {
                "model": {**result["model"], "name": "other-en-de"},
                "search": {"beam_size": 1, "length_penalty": 1.0},
                "seconds": 4.2,
                "sentences_per_second": 240.0,
            }
            result["compare"]["analysis"] |= {
                "robustness": _robustness(rng, sentences),
                "confidence": _confidence(rng, sentences),
            }
    return result


def _scores(rng: random.Random) -> dict[str, Any]:
    scores = {}
    for name, signature in METRICS.items():
        score = rng.uniform(30, 60)
        interval = [score - 1.7, score + 1.8]
        signature = f"nrefs:1|{signature}|version:2.6.0"
        scores[name] = {"score": score, "signature": signature, "interval": interval}
    return scores


def _delta(delta: float, p: float) -> dict[str, Any]:
    return {"delta": delta, "p": p}


def _line(
    n: int,
    rng: random.Random,
    model: bool,
    texts: tuple[str, str, str] | None,
    first: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    chosen = rng.choices(list(WORDS), k=rng.randint(3, 22))
    if first:
        source, reference = first["source"], first["references"][0]
    else:
        source = " ".join(chosen).capitalize() + "." if model else ""
        reference = " ".join(WORDS[word] for word in chosen).capitalize() + "."
    words = [
        w if rng.random() < 0.8 else rng.choice(list(WORDS.values())) for w in reference.split()
    ]
    hypothesis = " ".join(words)
    if texts:
        source, reference, hypothesis = texts
    chrf = 100.0 * sum(a == b for a, b in zip(words, reference.split(), strict=False)) / len(words)
    return {
        "n": n,
        "source": source,
        "references": [reference],
        "hypothesis": hypothesis,
        "bleu": 0.8 * chrf,
        "chrf": chrf,
        "log_prob": -rng.random() * 20 if model else None,
        "confidence": rng.random() if model else None,
        "faults": ["loop"] if n % 31 == 5 else [],
        **({"seen": SEEN[n % 4]} if model else {}),
    }


def _breakdown(rng: random.Random, sentences: int) -> list[dict[str, Any]]:
    return [
        {
            "by": by,
            "groups": [
                {
                    "group": group,
                    "sentences": 7 if n == 1 else sentences // len(groups),
                    "scores": {"bleu": rng.uniform(20, 60), "chrf": rng.uniform(40, 80)},
                }
                for n, group in enumerate(groups)
            ],
        }
        for by, groups in GROUPS.items()
    ]


def _robustness(rng: random.Random, sentences: int) -> list[dict[str, Any]]:
    slices = []
    for name in ("capitals", "no final stop", "typos", "emoji"):
        clean = {"bleu": 38.2, "chrf": 60.1}
        changed = {metric: score - rng.uniform(-0.5, 8) for metric, score in clean.items()}
        what = "The sources are changed; the translations are compared with the same references."
        one = {
            "slice": name,
            "sentences": sentences,
            "what": what,
            "clean": clean,
            "changed": changed,
        }
        slices.append(one | ({"kept": 0.97} if name == "emoji" else {}))
    return slices


def _confidence(rng: random.Random, sentences: int) -> dict[str, Any]:
    bins = [
        {
            "low": k / 10,
            "high": (k + 1) / 10,
            "sentences": int(sentences * (k + 1) / 55),
            "confidence": k / 10 + 0.05,
            "right": min(1, max(0, k / 10 + rng.uniform(-0.1, 0.15))),
        }
        for k in range(10)
    ]
    curve = [
        {"coverage": k / 50, "risk": 0.45 * (k / 50) ** 0.7, "threshold": 1 - k / 51}
        for k in range(1, 51)
    ]
    return {
        **{"event": "chrF of at least 60", "base_rate": 0.55, "auc": 0.82, "auc_log_prob": 0.79},
        **{"calibration_error": 0.041, "bins": bins, "risk_coverage": curve},
    }


def _attention(rng: random.Random, line: Mapping[str, Any]) -> dict[str, Any]:
    """Each piece looks at the source pieces about as far on, and a little at all."""
    src, tgt = (_pieces(line[side]) for side in ("source", "hypothesis"))
    weights = []
    for t in range(len(tgt)):
        near = [
            math.exp(-abs(t * len(src) / len(tgt) - s)) + rng.random() / 9 for s in range(len(src))
        ]
        weights.append([round(weight / sum(near), 3) for weight in near])
    return {"src": src, "tgt": tgt, "weights": weights}


def _pieces(text: str) -> Sequence[str]:
    """Words in pieces of four characters."""
    words = ["\u2581" + word for word in text.split()]
    return [*(word[k : k + 4] for word in words for k in range(0, len(word), 4)), "</s>"]
