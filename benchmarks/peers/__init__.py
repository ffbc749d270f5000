"""What one would use instead: one file a library, written as its users would.

Each has a `NAME` and `CONTENDERS`: for a type of case, a function of case and problem that gives a
`Contender`.
"""
