"""Parts of `against_published.py`: the published code as it is, this project's, and the same work for both."""
