"""Properties of the datasets that ship with sktime, and a small dataset in the same format."""

# Classes, cases, shortest, longest, channels, and duplicate cases.
SHIPPED = {
    "ACSF1": (10, 200, 1460, 1460, 1, 0),
    "ArrowHead": (3, 211, 251, 251, 1, 1),
    "BasicMotions": (4, 80, 100, 100, 6, 0),
    "GunPoint": (2, 200, 150, 150, 1, 0),
    "ItalyPowerDemand": (2, 1096, 24, 24, 1, 0),
    "JapaneseVowels": (9, 640, 7, 29, 12, 0),
    "OSULeaf": (6, 442, 427, 427, 1, 0),
    "PLAID": (11, 1074, 100, 1344, 1, 5),
}


def tiny(classes=6, cases=4, channels=1, steps=5):
    """Return the text of a .ts file; each value encodes its class, case, step and channel."""
    head = f"@univariate false\n@dimensions {channels}\n@classLabel true "
    lines = [head + " ".join(f"k{c}" for c in range(classes)), "@data"]
    for c in range(classes):
        for case in range(cases):
            rows = [
                ",".join(str((c + 1) * 100 + case * 10 + s + channel / 8) for s in range(steps))
                for channel in range(channels)
            ]
            lines.append(":".join([*rows, f"k{c}"]))
    return "\n".join(lines) + "\n"
