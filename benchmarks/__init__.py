"""How fast quickstudy is, beside what one would use instead: `make benchmark`.

Read in this order: cases.py (what is measured), contender.py (what both sides are given and must
do), ours.py and peers/ (the two sides), suite.py and timing.py (how they are measured),
operations.py and machine.py (what the hardware allows), page.py (how it is shown).
"""
