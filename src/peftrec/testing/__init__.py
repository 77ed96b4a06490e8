"""The contract tests: laws that every strategy, user encoder, objective and data source keeps, for pytest to run on
those of this package and on a user's own.

    pytest --pyargs peftrec.testing --config-dir FOLDER --strategy mine

Nothing else of the package imports this room, so that pytest is needed by those alone who run the tests.
"""
