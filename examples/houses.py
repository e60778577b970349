#!/usr/bin/env python3
"""Writes houses.csv: 506 made-up houses with 13 features and a price (thousands) that is linear in
them but for noise of standard deviation 10. The same numbers on every machine: draws are integers.
usage: ./houses.py > houses.csv"""

state = 20240607

def uniform(low, high):
    """The next draw: bits 33.. of a linear congruential generator (Knuth's MMIX constants)."""
    global state
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return low + (high - low) * (state >> 33) / 2**31

def noise(deviation):
    """Nearly normal: twelve uniform numbers have variance 1."""
    return deviation * sum(uniform(-0.5, 0.5) for _ in range(12))

# name, lowest, highest, decimals, thousands per unit
FEATURES = [
    ("area", 40, 240, 0, 3.5),
    ("rooms", 1, 8, 0, 12),
    ("baths", 1, 3, 0, 20),
    ("age", 0, 90, 0, -1.5),
    ("floor", 0, 9, 0, 2),
    ("centre_km", 0.2, 25, 1, -4),
    ("station_km", 0.1, 6, 1, -6),
    ("school", 1, 10, 1, 8),
    ("crime", 0.1, 12, 1, -5),
    ("noise_db", 35, 75, 0, -1.2),
    ("garden", 0, 400, 0, 0.15),
    ("garages", 0, 2, 0, 18),
    ("energy", 20, 300, 0, -0.2),
]

print(",".join([f[0] for f in FEATURES] + ["price"]))
for _ in range(506):
    row = [round(uniform(low, high), decimals) for _, low, high, decimals, _ in FEATURES]
    price = 150 + sum(x * f[4] for x, f in zip(row, FEATURES)) + noise(10)
    print(",".join(f"{x:.{f[3]}f}" for x, f in zip(row, FEATURES)) + f",{price:.1f}")
