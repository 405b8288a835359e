"""Subcommands of ``ot-solvers``, written against the public API only.

One module per subcommand (`solve`, `transfer`, `demo`, `info`), each with ``run(args) -> exit code``, and
what they share: the command line (`parser`), what the user sees (`console`, `plots`), arrays and pictures on
disk (`files`, `images`), colours (`colour`, `palette`, `smoothing`), Ctrl-C (`interruption`), `errors`.
"""
