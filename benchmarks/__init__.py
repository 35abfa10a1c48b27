"""How fast newfound is, against what it cannot be faster than or what others do: `make bench`.

What each figure means, how it is measured and what it does not say: docs/benchmarks.md.
"""
