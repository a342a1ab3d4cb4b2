"""Scores of what a model says and of what a codec keeps, by judges that took no part in choosing.

Every measure of a row is a pair, a numerator and a denominator; a table shows the ratio of their
sums over all rows (a mean where the denominators are 1), with a bootstrap interval over utterances.
"""
