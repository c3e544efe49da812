"""How good pictures are, and what they are like: metrics, features, nearest neighbours, classifiers."""
